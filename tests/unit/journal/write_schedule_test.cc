#include "server/journal/write_schedule.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

constexpr absl::Duration kNow = absl::Hours(3);
constexpr absl::Duration kAtOnce = -absl::InfiniteDuration();
constexpr absl::Duration kPace = WriteSchedule::kPace;
constexpr absl::Duration kLag = WriteSchedule::kLag;

class WriteScheduleTest : public testing::Test {
 protected:
  WriteSchedule schedule_{Durability::kVersion};
};

TEST_F(WriteScheduleTest, NothingIsDueWhileThereIsNothing) {
  EXPECT_EQ(schedule_.Due(false), absl::InfiniteDuration());
  schedule_.NoteWaiting(3);
  EXPECT_EQ(schedule_.Due(true), absl::InfiniteDuration());
}

TEST_F(WriteScheduleTest, EventsThatNoCallWaitsForAreWrittenAfterTheLagOfTheFirst) {
  schedule_.NoteAppended(10, kNow);
  schedule_.NoteAppended(10, kNow + absl::Milliseconds(15));
  EXPECT_EQ(schedule_.Due(false), kNow + kLag);
  EXPECT_EQ(schedule_.Due(true), kNow + kLag);
}

TEST_F(WriteScheduleTest, ACallThatWaitsHasItsFrameAtOnceWhenNoRoundIsOpen) {
  schedule_.NoteFrameBegun(kNow - absl::Milliseconds(1));
  schedule_.NoteAppended(10, kNow);
  schedule_.NoteWaiting(1);
  EXPECT_EQ(schedule_.Due(false), kAtOnce);
}

TEST_F(WriteScheduleTest, WhileRoundsAreOpenFramesKeepThePace) {
  schedule_.NoteAppended(10, kNow);
  schedule_.NoteWaiting(1);
  EXPECT_EQ(schedule_.Due(true), kAtOnce) << "the first frame of all";
  schedule_.NoteFrameBegun(kNow);
  schedule_.NoteAppended(10, kNow + absl::Milliseconds(1));
  EXPECT_EQ(schedule_.Due(true), kNow + kPace);
}

TEST_F(WriteScheduleTest, ManyBytesAreWrittenThoughNoCallWaits) {
  WriteSchedule unsynced(Durability::kNone);
  for (WriteSchedule* schedule : {&schedule_, &unsynced}) schedule->NoteAppended(size_t{300} << 10, kNow);
  EXPECT_EQ(unsynced.Due(false), kAtOnce);
  EXPECT_EQ(schedule_.Due(false), kNow + kLag) << "a sync is worth more bytes";
  schedule_.NoteAppended(size_t{4} << 20, kNow);
  EXPECT_EQ(schedule_.Due(false), kAtOnce);
}

TEST_F(WriteScheduleTest, CallsWaitForADiskThatIsSlowerThanTheNetwork) {
  WriteSchedule unsynced(Durability::kNone);
  unsynced.NoteAppended(size_t{64} << 20, kNow);
  EXPECT_FALSE(unsynced.is_behind());
  unsynced.NoteAppended(1, kNow);
  EXPECT_TRUE(unsynced.is_behind());
  unsynced.NoteFrameBegun(kNow);
  EXPECT_FALSE(unsynced.is_behind());
}

TEST_F(WriteScheduleTest, ASegmentOrTheEndIsDueAtOnce) {
  schedule_.WantSegment(true);
  EXPECT_EQ(schedule_.Due(true), kAtOnce);
  schedule_.WantSegment(false);
  EXPECT_EQ(schedule_.Due(true), absl::InfiniteDuration());
  schedule_.WantEnd();
  EXPECT_EQ(schedule_.Due(true), kAtOnce);
}

TEST_F(WriteScheduleTest, AFrameTakesAllAndTheLagBeginsAnew) {
  schedule_.NoteAppended(10, kNow);
  schedule_.NoteFrameBegun(kNow + kLag);
  EXPECT_FALSE(schedule_.has_events());
  EXPECT_EQ(schedule_.Due(false), absl::InfiniteDuration());
  schedule_.NoteAppended(10, kNow + 2 * kLag);
  EXPECT_EQ(schedule_.Due(false), kNow + 3 * kLag);
}

TEST_F(WriteScheduleTest, UnderLoadTheThreadLooksForItself) {
  schedule_.NoteFrameBegun(kNow);
  EXPECT_EQ(schedule_.LookAgain(absl::InfiniteDuration(), kNow + absl::Milliseconds(1)), kNow + kPace);
  EXPECT_EQ(schedule_.LookAgain(absl::InfiniteDuration(), kNow + absl::Milliseconds(5)), kNow + kLag);
  EXPECT_EQ(schedule_.LookAgain(absl::InfiniteDuration(), kNow + absl::Milliseconds(25)), absl::InfiniteDuration());
  EXPECT_EQ(schedule_.LookAgain(kNow + absl::Milliseconds(2), kNow + absl::Milliseconds(1)),
            kNow + absl::Milliseconds(2));
}

}  // namespace
}  // namespace cddp
