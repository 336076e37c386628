// A journal of several segments: each is read after the one before it, and none may be missing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/journal/journal.h"
#include "server/journal/segment.h"
#include "tests/unit/journal/faulty_files.h"
#include "tests/unit/journal/journal_events.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

TEST(JournalTest, SegmentsAreReadOneAfterTheOtherAndNoneMayBeMissing) {
  FaultyFiles files;
  {
    const Opened opened = Open(&files);
    Journal& journal = **opened.journal;
    for (size_t segment = 0; segment < 3; ++segment) {
      ASSERT_EQ(Write(journal, segment * 2, segment * 2 + 2), segment * 2 + 2);
      const absl::StatusOr<SegmentHead> next = journal.Rotate();
      ASSERT_TRUE(next.ok()) << next.status();
      EXPECT_EQ(next->segment, segment + 1);
      EXPECT_EQ(next->position, segment * 2 + 2);
    }
  }
  EXPECT_EQ(Open(&files).events, Events(6));
  const std::map<std::string, std::string> good = files.contents();
  for (const auto& [name, bytes] : good) {
    if (name == "lock" || name == "journal-3") continue;  // the last holds nothing but its first frame
    std::map<std::string, std::string> bad = good;
    bad.erase(name);
    files.set_contents(bad);
    const absl::Status missing = Open(&files).journal.status();
    EXPECT_EQ(missing.code(), absl::StatusCode::kDataLoss) << name;
    EXPECT_THAT(missing.message(), HasSubstr(name + ": is missing"));
    for (size_t cut = 1; cut <= bytes.size(); ++cut) {
      bad[name] = bytes.substr(0, bytes.size() - cut);
      files.set_contents(bad);
      ASSERT_EQ(Open(&files).journal.status().code(), absl::StatusCode::kDataLoss) << name << " less " << cut;
    }
    bad[name] = good.at("journal-3");
    files.set_contents(bad);
    ASSERT_EQ(Open(&files).journal.status().code(), absl::StatusCode::kDataLoss) << name << " is another";
  }
}

TEST(JournalTest, ARotationThatFailsLeavesTheOldSegmentGoingOn) {
  FaultyFiles files;
  {
    const Opened opened = Open(&files);
    Journal& journal = **opened.journal;
    ASSERT_EQ(Write(journal, 0, 2), 2u);
    files.FailOnce(1, absl::ResourceExhaustedError("the disk is full"));  // the new segment's first frame
    EXPECT_EQ(journal.Rotate().status().code(), absl::StatusCode::kResourceExhausted);
    ASSERT_EQ(Write(journal, 2, 4), 4u);
  }
  EXPECT_EQ(files.contents().count("journal-1"), 0u);
  EXPECT_EQ(Open(&files).events, Events(4));
}

TEST(JournalTest, ASegmentThatCouldNotEvenBeMadeLeavesTheOldOneGoingOn) {
  FaultyFiles files;
  {
    const Opened opened = Open(&files);
    Journal& journal = **opened.journal;
    files.RefuseOpen(absl::ResourceExhaustedError("too many open files"));
    EXPECT_EQ(journal.Rotate().status().code(), absl::StatusCode::kResourceExhausted);
    ASSERT_EQ(Write(journal, 0, 2), 2u);
    EXPECT_TRUE(journal.Rotate().ok());
    ASSERT_EQ(Write(journal, 2, 4), 4u);
  }
  EXPECT_EQ(Open(&files).events, Events(4));
}

TEST(JournalTest, WithoutDurabilityASegmentWhoseEndIsLostIsTheLast) {
  FaultyFiles files;
  const Opened opened = Open(&files, Durability::kNone);
  Journal& journal = **opened.journal;
  files.FailOnce(0, absl::InternalError("input/output error"));  // the old segment's sync
  EXPECT_FALSE(journal.Rotate().ok());
  EXPECT_FALSE(journal.Rotate().ok());
  EXPECT_FALSE(journal.Wait(Append(journal, 0, "")).ok());
}

TEST(JournalTest, SegmentHeadsComeBackAndNothingElseIsOne) {
  const std::string bytes = ToBytes({kJournalFormat, 8, 9, 10});
  SegmentHead head;
  for (size_t size = 0; size < bytes.size(); ++size) {
    absl::string_view cut = absl::string_view(bytes).substr(0, size);
    EXPECT_EQ(TakeSegmentHead(&cut, &head).code(), absl::StatusCode::kDataLoss);
  }
  const std::string longer = bytes + "event";
  absl::string_view left = longer;
  ASSERT_TRUE(TakeSegmentHead(&left, &head).ok());
  EXPECT_EQ(left, "event");
  EXPECT_EQ(head.segment, 8u);
  EXPECT_EQ(head.position, 9u);
  EXPECT_EQ(head.restored, 10u);
  const std::string other = ToBytes({kJournalFormat + 1, 8, 9, 10});
  left = other;
  EXPECT_EQ(TakeSegmentHead(&left, &head).code(), absl::StatusCode::kFailedPrecondition);
  std::string event = bytes;
  event[0] = 1;
  left = event;
  EXPECT_EQ(TakeSegmentHead(&left, &head).code(), absl::StatusCode::kDataLoss);
}

TEST(JournalTest, AnOlderReleasesJournalIsNotTakenForNone) {
  FaultyFiles files;
  files.set_contents({{"journal", "old"}});
  EXPECT_EQ(Open(&files).journal.status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace cddp
