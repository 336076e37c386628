// Events whose durability was awaited are read again, whatever happens to the file; damage is reported.

#include "server/journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/journal/snapshot.h"
#include "tests/unit/journal/faulty_files.h"
#include "tests/unit/journal/journal_events.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

TEST(JournalTest, RealFilesAreReadAgainAndHeldByOneProcess) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/cddp_journal_", getpid());
  std::filesystem::remove_all(folder);
  size_t events = 0;
  const auto count = [&](const SharedBytes& bytes, uint64_t) {
    return ForEach(bytes, [&](uint64_t, absl::string_view) { ++events; });
  };
  {
    const auto journal = Journal::Open(InFolder(folder), count);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(Write(**journal, 0, 10), 10u);
    EXPECT_EQ((*journal)->bytes(), std::filesystem::file_size(folder + "/journal-0"));
    const absl::Status second = Journal::Open(InFolder(folder), count).status();
    EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(second.message(), HasSubstr("another server"));
  }
  EXPECT_TRUE(Journal::Open(InFolder(folder), count).ok());
  EXPECT_EQ(events, 10u);
  std::filesystem::remove_all(folder);
}

TEST(JournalTest, FramesOfAnySizeAreReadAgainFromRealFiles) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/cddp_frames_", getpid());
  std::filesystem::remove_all(folder);
  std::vector<std::string> updates;
  for (const size_t size : {0, 1, 4000, 4096 - 28 - 1, 4096, 100000, (8 << 20) + 5, 3}) {
    updates.emplace_back(size, static_cast<char>('a' + updates.size()));
  }
  std::vector<std::string> read;
  const auto replay = [&](const SharedBytes& events, uint64_t) {
    return ForEach(events, [&](uint64_t, absl::string_view text) { read.emplace_back(text); });
  };
  for (size_t i = 0; i < updates.size(); ++i) {
    read.clear();
    const auto journal = Journal::Open(InFolder(folder), replay);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(read.size(), i);
    for (size_t j = 0; j < i; ++j) EXPECT_TRUE(read[j] == updates[j]) << j;
    ASSERT_TRUE((*journal)->Wait(Append(**journal, i, updates[i])).ok());
    EXPECT_EQ((*journal)->bytes(), std::filesystem::file_size(folder + "/journal-0"));
  }
  std::filesystem::remove_all(folder);
}

TEST(JournalTest, ALargeFileIsRemovedButNotWhatItsOtherNameHolds) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/cddp_remove_", getpid());
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const std::string bytes((size_t{9} << 20) + 1, 'x');
  for (const bool has_copy : {false, true}) {
    ASSERT_TRUE((*PosixFiles().Open(folder, "large"))->Append({bytes}).ok());
    if (has_copy) std::filesystem::create_hard_link(folder + "/large", folder + "/copy");
    EXPECT_TRUE(PosixFiles().RemoveGently(folder, "large").ok());
    EXPECT_FALSE(std::filesystem::exists(folder + "/large"));
  }
  EXPECT_EQ(std::filesystem::file_size(folder + "/copy"), bytes.size());
  EXPECT_FALSE(PosixFiles().RemoveGently(folder, "large").ok()) << "it is not there";
  std::filesystem::remove_all(folder);
}

TEST(JournalTest, SnapshotsOfAnySizeAreReadAgainFromRealFiles) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/cddp_snapshot_", getpid());
  std::filesystem::create_directory(folder);
  const size_t mebibyte = size_t{1} << 20;
  for (const size_t size : {size_t{0}, size_t{4000}, mebibyte, 3 * mebibyte + 17}) {
    std::string state(size, '\0');
    for (size_t i = 0; i < size; ++i) state[i] = static_cast<char>(i * 31 + i / 4096);
    auto writer = SnapshotWriter::Create(&PosixFiles(), folder, "snapshot-1", {kJournalFormat, 1});
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Add("first", "").ok());
    ASSERT_TRUE((*writer)->Add("state", state).ok());
    ASSERT_TRUE((*writer)->Commit().ok());
    EXPECT_EQ(std::filesystem::file_size(folder + "/snapshot-1"), (*writer)->bytes());
    auto reader = SnapshotReader::Open(PosixFiles(), folder, "snapshot-1");
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->segment().segment, 1u);
    SharedBytes event;
    ASSERT_TRUE(*(*reader)->Next(&event));
    EXPECT_EQ(event.view(), "first");
    ASSERT_TRUE(*(*reader)->Next(&event));
    EXPECT_TRUE(event.view() == "state" + state) << size;
    EXPECT_FALSE(*(*reader)->Next(&event));
  }
  std::filesystem::remove_all(folder);
}

TEST(JournalTest, ACrashAtAnyCallLosesNothingThatWasWaitedFor) {
  using Kept = FaultyFiles::Kept;
  for (const Kept kept : {Kept::kNothing, Kept::kHalf, Kept::kAll, Kept::kLengthOnly}) {
    bool completed = false;
    for (uint64_t calls = 0; !completed; ++calls) {
      FaultyFiles files;
      { ASSERT_EQ(Write(**Open(&files).journal, 0, 3), 3u); }
      files.FailAfter(calls, absl::InternalError("crash"));
      size_t durable = 3;
      if (Opened opened = Open(&files); opened.journal.ok()) {
        durable = Write(**opened.journal, 3, 8);
        completed = durable == 8;
      }
      files.Crash(kept);
      Opened again = Open(&files);
      ASSERT_TRUE(again.journal.ok()) << again.journal.status() << " after call " << calls;
      ASSERT_GE(again.events.size(), durable) << "after call " << calls;
      ASSERT_LE(again.events.size(), durable + 1);
      EXPECT_EQ(again.events, Events(again.events.size()));
      const size_t end = again.events.size() + 2;
      ASSERT_EQ(Write(**again.journal, again.events.size(), end), end);
      again.journal = absl::UnknownError("closed");
      EXPECT_EQ(Open(&files).events, Events(end)) << "it goes on after what it has cut";
    }
  }
}

// Its frames are in memory only, as those of a process that died before its sync.
void WriteWithoutSync(FaultyFiles& files, size_t begin, size_t end) {
  const Opened opened = Open(&files, Durability::kNone);
  ASSERT_TRUE(opened.journal.ok()) << opened.journal.status();
  EXPECT_EQ(Write(**opened.journal, begin, end), end);
}

void ExpectAfterPowerLoss(FaultyFiles* files, int count) {
  files->Crash(FaultyFiles::Kept::kNothing);
  const Opened opened = Open(files);
  ASSERT_TRUE(opened.journal.ok()) << opened.journal.status();
  EXPECT_EQ(opened.events, Events(count));
}

// What a start then reads may not be on the disk after all, and no later sync would say so.
TEST(JournalTest, AStartAfterOneWhoseSyncFailedLosesNothing) {
  for (const Durability then : {Durability::kVersion, Durability::kNone}) {
    FaultyFiles files;
    WriteWithoutSync(files, 0, 3);
    WriteWithoutSync(files, 3, 5);
    files.FailNextSync(absl::UnknownError("input/output error"));
    EXPECT_THAT(Open(&files, then).journal.status().message(), HasSubstr("input/output error"));
    {
      const Opened opened = Open(&files);
      ASSERT_TRUE(opened.journal.ok()) << opened.journal.status();
      EXPECT_EQ(opened.events, Events(5));
      EXPECT_EQ(Write(**opened.journal, 5, 7), 7u);
    }
    ExpectAfterPowerLoss(&files, 7);
  }
}

TEST(JournalTest, AFrameThatWasReadAndNotSyncedIsWrittenAgain) {
  FaultyFiles files;
  EXPECT_EQ(Write(**Open(&files).journal, 0, 3), 3u);
  {
    const Opened opened = Open(&files);
    files.FailAfter(1, absl::UnavailableError("killed"));  // after the frame was appended, before its sync
    EXPECT_EQ(Write(**opened.journal, 3, 4), 3u);
    files.FailAfter(UINT32_MAX, absl::OkStatus());
  }
  files.FailNextSync(absl::UnknownError("input/output error"));
  EXPECT_FALSE(Open(&files).journal.ok());
  EXPECT_EQ(Write(**Open(&files).journal, 4, 6), 6u);
  ExpectAfterPowerLoss(&files, 6);
}

TEST(JournalTest, EveryFlippedBitIsFound) {
  FaultyFiles files;
  { ASSERT_EQ(Write(**Open(&files).journal, 0, 6), 6u); }
  const std::string good = files.contents()["journal-0"];
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    files.set_contents({{"journal-0", bad}});
    const Opened opened = Open(&files);
    ASSERT_EQ(opened.journal.status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
    ASSERT_THAT(opened.journal.status().message(), HasSubstr("damaged"));
  }
}

TEST(JournalTest, EveryTruncationLeavesTheWholeFramesBeforeIt) {
  FaultyFiles files;
  std::vector<size_t> ends;
  { ASSERT_TRUE(Open(&files).journal.ok()); }
  ends.push_back(files.contents()["journal-0"].size());
  for (size_t step = 0; step < 6; ++step) {
    ASSERT_EQ(Write(**Open(&files).journal, step, step + 1), step + 1);
    ends.push_back(files.contents()["journal-0"].size());
  }
  const std::string good = files.contents()["journal-0"];
  for (size_t size = 0; size <= good.size(); ++size) {
    files.set_contents({{"journal-0", good.substr(0, size)}});
    const Opened opened = Open(&files);
    ASSERT_TRUE(opened.journal.ok()) << opened.journal.status() << " at " << size;
    // Without its first frame a segment is begun anew.
    const size_t whole = std::max<ptrdiff_t>(std::upper_bound(ends.begin(), ends.end(), size) - ends.begin() - 1, 0);
    ASSERT_EQ(opened.events, Events(whole)) << "cut at " << size;
    ASSERT_EQ(files.contents()["journal-0"].size(), ends[whole]);
  }
}

TEST(JournalTest, ADiskThatDoesNotEvenCutWhatIsHalfWrittenEndsTheJournal) {
  FaultyFiles files;
  {
    const Opened opened = Open(&files);
    Journal& journal = **opened.journal;
    ASSERT_EQ(Write(journal, 0, 2), 2u);
    files.FailAfter(0, absl::ResourceExhaustedError("the disk is full"));  // in the midst of the frame
    const absl::Status full = journal.Wait(Append(journal, 2, "lost"));
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(full.message(), HasSubstr("state/journal-0"));
    files.FailAfter(1000, absl::OkStatus());
    EXPECT_EQ(journal.Wait(Append(journal, 3, "later")), full) << "or there would be a hole";
  }
  const Opened again = Open(&files);
  EXPECT_TRUE(again.journal.ok());
  EXPECT_EQ(again.events, Events(2));
}

TEST(JournalTest, AFullDiskIsToldToEveryWaiterAndWrittenToOnceThereIsRoom) {
  FaultyFiles files;
  {
    const Opened opened = Open(&files);
    Journal& journal = **opened.journal;
    ASSERT_EQ(Write(journal, 0, 2), 2u);
    files.FailOnce(0, absl::ResourceExhaustedError("the disk is full"));
    const uint64_t third = Append(journal, 2, "again");
    const absl::Status full = journal.Wait(third);
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(journal.full(), full);
    EXPECT_TRUE(journal.status().ok());
    const uint64_t fourth = Append(journal, 3, "later");
    while (!journal.Wait(fourth).ok()) std::this_thread::yield();
    EXPECT_TRUE(journal.Wait(third).ok());
    EXPECT_TRUE(journal.full().ok());
  }
  EXPECT_EQ(Open(&files).events.size(), 4u);
}

TEST(JournalTest, WhatNobodyWaitsForIsWrittenAMomentLater) {
  for (const Durability durability : {Durability::kVersion, Durability::kNone}) {
    FaultyFiles files;
    const Opened opened = Open(&files, durability);
    const size_t before = files.contents()["journal-0"].size();
    Append(**opened.journal, 0, "");
    while (files.contents()["journal-0"].size() == before) std::this_thread::yield();
  }
}

TEST(JournalTest, FramesKeepADistanceWhileRoundsAreOpen) {
  FaultyFiles files;
  const Opened opened = Open(&files);
  Journal& journal = **opened.journal;
  journal.NoteOpenRounds(1);
  const absl::Time begin = absl::Now();
  ASSERT_EQ(Write(journal, 0, 21), 21u);
  EXPECT_GE(absl::Now() - begin, 20 * absl::Milliseconds(4));
}

TEST(JournalTest, WithoutDurabilityNobodyWaitsButTheEndWritesAll) {
  FaultyFiles files;
  {
    const Opened opened = Open(&files, Durability::kNone);
    EXPECT_EQ(Write(**opened.journal, 0, 20), 20u);
  }
  EXPECT_EQ(Open(&files).events, Events(20));
}

// The kernel tells once of what it could not write.
TEST(JournalTest, WithoutDurabilityAnswersWaitForADiskThatIsFarBehind) {
  FaultyFiles files;
  std::promise<void> stalled, goes_on;
  std::atomic<int> appends = 0;
  files.BeforeAppend("journal-", [&] {
    if (++appends != 2) return;  // the first is the segment's first frame
    stalled.set_value();
    goes_on.get_future().wait();
  });
  const Opened opened = Open(&files, Durability::kNone);
  Journal& journal = **opened.journal;
  std::atomic<int> answers = 0;
  const auto push = [&](const std::string& update) {
    journal.WhenDurable(Append(journal, 0, update), [&](const absl::Status& status) { answers += status.ok(); });
  };
  push("x");
  EXPECT_EQ(answers, 1);
  stalled.get_future().wait();
  const std::string large(size_t{20} << 20, 'x');
  for (int i = 0; i < 3; ++i) push(large);
  EXPECT_EQ(answers, 4);
  push(large);
  EXPECT_EQ(answers, 4) << "80 MiB wait for the disk";
  goes_on.set_value();
  while (answers != 5) std::this_thread::yield();
  push(large);
  EXPECT_EQ(answers, 6);
}

// Of several frames that no sync followed, a loss of power may keep the length and some of the first.
TEST(JournalTest, ZerosOverSeveralFramesAreATornTail) {
  FaultyFiles files;
  size_t whole = 0;
  {
    const Opened opened = Open(&files);
    Journal& journal = **opened.journal;
    ASSERT_EQ(Write(journal, 0, 2), 2u);
    whole = files.contents().at("journal-0").size();
    for (uint64_t step : {2, 3}) ASSERT_TRUE(journal.Wait(Append(journal, step, std::string(10'000, 'x'))).ok());
  }
  const std::string bytes = files.contents().at("journal-0");
  ASSERT_EQ(bytes.size(), whole + 2 * 3 * 4096);
  for (size_t begin = whole; begin < whole + 3 * 4096; begin += 4096) {
    std::string torn = bytes;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(begin), torn.end(), '\0');
    files.set_contents({{"journal-0", torn}});
    const Opened opened = Open(&files);
    ASSERT_TRUE(opened.journal.ok()) << begin << ": " << opened.journal.status();
    EXPECT_EQ(opened.events, Events(2));
  }
}

}  // namespace
}  // namespace cddp
