#include "server/shard_events.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/journal/segment.h"

namespace cddp {
namespace {

std::string AllKinds() {
  std::string bytes;
  AppendEvent(BeginEvent{"options", "layout"}, &bytes);
  AppendEvent(CountEvent{2, {1, 7, 6, SharedBytes::Own("update"), true, std::nullopt, 3.5F}}, &bytes);
  AppendEvent(AdmitEvent{3, 4}, &bytes);
  AppendEvent(RetireEvent{5, 6}, &bytes);
  AppendEvent(MemberEvent{1, 99, MemberState::kFinished, 12}, &bytes);
  AppendEvent(BucketEvent{10, 11, "state"}, &bytes);
  AppendEvent(AgreementEvent{8, "settings"}, &bytes);
  AppendEvent(RunEvent{"run"}, &bytes);
  return bytes;
}

TEST(ShardEventsTest, AllKindsComeBackAndNoneThatIsCut) {
  const SharedBytes bytes = SharedBytes::Own(AllKinds());
  for (size_t size = 0; size <= bytes.size(); ++size) {
    SharedBytes left = bytes.Part(0, size);
    std::vector<ShardEvent> events;
    ShardEvent event;
    while (!left.empty() && TakeEvent(&left, &event).ok()) events.push_back(event);
    EXPECT_EQ(left.empty() && events.size() == 8, size == bytes.size()) << "cut at " << size;
    if (size < bytes.size()) continue;
    EXPECT_EQ(std::get<BeginEvent>(events[0]).options, "options");
    EXPECT_EQ(std::get<BeginEvent>(events[0]).layout, "layout");
    const auto& count = std::get<CountEvent>(events[1]);
    EXPECT_EQ(count.bucket, 2u);
    EXPECT_EQ(count.contribution.rank, 1u);
    EXPECT_EQ(count.contribution.step, 7u);
    EXPECT_EQ(count.contribution.base_version, 6u);
    EXPECT_EQ(count.contribution.update.view(), "update");
    EXPECT_TRUE(count.contribution.non_finite);
    EXPECT_EQ(count.contribution.weight, 3.5F);
    EXPECT_EQ(std::get<AdmitEvent>(events[2]).rank, 4u);
    EXPECT_EQ(std::get<RetireEvent>(events[3]).bucket, 5u);
    EXPECT_EQ(std::get<MemberEvent>(events[4]).incarnation, 99u);
    EXPECT_EQ(std::get<MemberEvent>(events[4]).state, MemberState::kFinished);
    EXPECT_EQ(std::get<MemberEvent>(events[4]).view, 12u);
    EXPECT_EQ(std::get<BucketEvent>(events[5]).position, 11u);
    EXPECT_EQ(std::get<BucketEvent>(events[5]).state, "state");
    EXPECT_EQ(std::get<AgreementEvent>(events[6]).rank, 8u);
    EXPECT_EQ(std::get<AgreementEvent>(events[6]).settings, "settings");
    EXPECT_EQ(std::get<RunEvent>(events[7]).name, "run");
  }
}

TEST(ShardEventsTest, AnUpdateKeepsWhatItWasReadFrom) {
  SharedBytes update;
  {
    std::string bytes;
    AppendEvent(CountEvent{2, {1, 7, 6, SharedBytes::Own(std::string(1000, 'u'))}}, &bytes);
    SharedBytes left = SharedBytes::Own(std::move(bytes));
    ShardEvent event;
    ASSERT_TRUE(TakeEvent(&left, &event).ok());
    update = std::get<CountEvent>(event).contribution.update;
  }
  EXPECT_EQ(update.view(), std::string(1000, 'u'));
}

// The files' meaning; another one is another kJournalFormat.
TEST(ShardEventsTest, TheFirstByteIsTheKindAndNoneOfTheJournals) {
  const std::string all = AllKinds();
  SharedBytes left = SharedBytes::Own(all);
  for (char kind = 1; kind <= 8; ++kind) {
    EXPECT_EQ(left.view().front(), kind);
    ShardEvent event;
    ASSERT_TRUE(TakeEvent(&left, &event).ok());
  }
  for (const uint8_t tag : {kSegmentHeadTag, kSnapshotEndTag, uint8_t{9}, uint8_t{128}}) {
    std::string bytes = all;
    bytes[0] = static_cast<char>(tag);
    SharedBytes other = SharedBytes::Own(std::move(bytes));
    ShardEvent event;
    EXPECT_EQ(TakeEvent(&other, &event).code(), absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace cddp
