// With may_lose_versions: a crash sets a bucket back, and workers continue from versions that it no longer has.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kWorkers = 2;

// A bucket that has been at a later version before a crash.
class LostVersionsTest : public ::testing::Test {
 protected:
  LostVersionsTest() {
    BucketDriver before(Options());
    for (uint64_t step = 0; step < 6; ++step) {
      if (step == 3) saved_ = Saved(before);
      for (uint32_t rank = 0; rank < kWorkers; ++rank) before.Push(rank, step, Values(static_cast<float>(step)));
    }
    bucket_ = Loaded(saved_);
    bucket_->state().NoteRecovered();
  }

  static BucketOptions Options() {
    BucketOptions options = DenseOptions(kWorkers);
    options.may_lose_versions = true;
    return options;
  }

  static std::string Saved(BucketDriver& bucket) {
    std::string state;
    uint64_t position = 0;
    EXPECT_TRUE(bucket.state().Save(&state, &position).ok());
    return state;
  }
  static std::unique_ptr<BucketDriver> Loaded(const std::string& state) {
    auto bucket = std::make_unique<BucketDriver>(Options());
    EXPECT_TRUE(bucket->state().Load(state).ok());
    return bucket;
  }

  static std::string Values(float value) { return Dense(std::vector<float>(kBucketLength, value)); }

  // Of a replica that was at a version that is lost.
  std::vector<float> ReplicaAfter(size_t call) const {
    std::vector<float> replica(kBucketLength, 1000);
    EXPECT_TRUE(bucket_->ApplyAnswer(call, &replica));
    return replica;
  }

  std::string saved_;  // at version 3
  std::unique_ptr<BucketDriver> bucket_;
};

// Found by the simulation: a worker waited in a bucket that was taken back for one that waited for it where nothing was
// lost.
TEST_F(LostVersionsTest, NobodyWaitsForAWorkerThatIsAhead) {
  const size_t ahead = bucket_->Push(0, 5, Values(7));
  EXPECT_FALSE(bucket_->answered(ahead));
  for (const uint64_t step : {3, 4}) EXPECT_TRUE(bucket_->answered(bucket_->Push(1, step, ""))) << step;
  EXPECT_FALSE(bucket_->answered(ahead)) << "its round waits for rank 1";
  bucket_->Push(1, 5, Values(1));
  ASSERT_TRUE(bucket_->answered(ahead));
  EXPECT_EQ(bucket_->answer(ahead).version, 6u);
  EXPECT_EQ(ReplicaAfter(ahead), bucket_->weights());
}

TEST_F(LostVersionsTest, ABucketThatAllAreAheadOfGoesThereAtOnceAndCountsWhatTheyPush) {
  const std::vector<float> before = bucket_->weights();
  const size_t first = bucket_->Push(0, 6, Values(7));
  const size_t second = bucket_->Push(1, 5, Values(3));
  EXPECT_TRUE(bucket_->answered(second)) << "rank 0 is ahead of its round";
  EXPECT_FALSE(bucket_->answered(first));
  bucket_->Push(1, 6, Values(1));
  ASSERT_TRUE(bucket_->answered(first));
  EXPECT_EQ(bucket_->answer(first).version, 7u);
  EXPECT_EQ(bucket_->weights()[0], before[0] - 3.f / 2 - (7.f + 1) / 2);
  EXPECT_EQ(ReplicaAfter(first), bucket_->weights());
}

TEST_F(LostVersionsTest, ARetryIsHeldOnce) {
  const std::vector<float> before = bucket_->weights();
  const size_t broken = bucket_->Push(0, 5, Values(4));
  const size_t again = bucket_->Push(0, 5, Values(4));
  bucket_->Push(1, 5, Values(0));
  EXPECT_TRUE(bucket_->answered(broken));
  EXPECT_TRUE(bucket_->answered(again));
  EXPECT_EQ(bucket_->weights()[0], before[0] - 2);
}

// Version 5 is made anew, with another content, before the worker that holds the lost one is heard of again.
TEST_F(LostVersionsTest, AVersionThatIsLostIsNotTakenForTheNewOneOfItsNumber) {
  bucket_->state().Retire(0);
  for (uint64_t step = 3; step < 7; ++step) bucket_->Push(1, step, Values(50));
  bucket_->Push(1, 7, Values(2));
  size_t call = bucket_->Push(0, 5, Values(1));
  EXPECT_EQ(ReplicaAfter(call), bucket_->weights());
  call = bucket_->Push(0, 5, Values(1));
  EXPECT_EQ(ReplicaAfter(call), bucket_->weights()) << "the first answer may be lost";
  // It goes on from what it was answered, with changes alone.
  const uint64_t version = bucket_->answer(call).version;
  std::vector<float> replica = ReplicaAfter(call);
  call = bucket_->Push(0, version, Values(1));
  bucket_->Push(1, version, Values(1));
  ASSERT_TRUE(bucket_->answered(call));
  EXPECT_FALSE(bucket_->answer(call).replaces);
  EXPECT_TRUE(bucket_->ApplyAnswer(call, &replica));
  EXPECT_EQ(replica, bucket_->weights());
}

// The answer to a contribution of the journal goes to nobody.
TEST_F(LostVersionsTest, AnAnswerThatNobodyGetsTellsNothing) {
  const auto bucket = Loaded(saved_);
  bucket->Push(0, 3, Values(1));  // its round was not closed in the journal
  bucket->state().NoteRecovered();
  bucket->Push(1, 3, Values(1));
  const size_t call = bucket->Push(0, 4, Values(1));
  bucket->Push(1, 4, Values(1));
  ASSERT_TRUE(bucket->answered(call));
  EXPECT_TRUE(bucket->answer(call).replaces) << "its version 4 may be one that is lost";
}

// Found by the simulation: after a second start the new history of the first passed for the one that workers know.
TEST_F(LostVersionsTest, ASecondStartKnowsOfTheFirst) {
  bucket_->state().Retire(0);
  for (uint64_t step = 3; step < 7; ++step) bucket_->Push(1, step, Values(50));
  const auto second = Loaded(Saved(*bucket_));
  second->state().NoteRecovered();
  const size_t call = second->Push(0, 5, Values(1));
  ASSERT_TRUE(second->answered(call));
  EXPECT_TRUE(second->answer(call).replaces) << "its version 5 is that of before the first crash";
}

// Found by the simulation: a worker that had gone on from its answers before the second crash was trusted after it.
TEST_F(LostVersionsTest, WhatWorkersHaveDoneBeforeTheSecondStartTellsNothing) {
  const auto second = Loaded(Saved(*bucket_));
  for (uint64_t step = 3; step < 7; ++step) {  // of the journal
    for (uint32_t rank = 0; rank < kWorkers; ++rank) second->Push(rank, step, Values(1));
  }
  second->state().NoteRecovered();
  second->Push(1, 7, Values(1));
  const size_t call = second->Push(0, 7, Values(1));
  ASSERT_TRUE(second->answered(call));
  EXPECT_TRUE(second->answer(call).replaces) << "its version 7 may be one that is lost";
}

// Found by the simulation: a worker that has its answer of a version that is lost waits in another bucket for one that
// begins again at an earlier step, and that one waits here.
TEST_F(LostVersionsTest, AWorkerThatDoesNotComeIsNotWaitedForWithoutEnd) {
  EXPECT_THAT(bucket_->state().RanksToRetire(absl::ZeroDuration()), IsEmpty()) << "nobody waits";
  const size_t waits = bucket_->Push(1, 3, Values(2));
  EXPECT_THAT(bucket_->state().RanksToRetire(absl::Hours(1)), IsEmpty()) << "it may be under way";
  EXPECT_THAT(bucket_->state().RanksToRetire(absl::ZeroDuration()), ElementsAre(0));
  bucket_->state().Retire(0);
  EXPECT_TRUE(bucket_->answered(waits));
  EXPECT_THAT(bucket_->state().RanksToRetire(absl::ZeroDuration()), IsEmpty());
  // It is waited for again once it comes.
  bucket_->Push(0, 5, Values(7));
  EXPECT_TRUE(bucket_->answered(bucket_->Push(1, 4, Values(2))));
  EXPECT_TRUE(bucket_->answered(bucket_->Push(1, 5, Values(2))));
  EXPECT_FALSE(bucket_->answered(bucket_->Push(1, 6, Values(2))));
  EXPECT_THAT(bucket_->state().RanksToRetire(absl::ZeroDuration()), IsEmpty()) << "it has been heard of";
}

TEST_F(LostVersionsTest, WhereNoVersionIsLostEverybodyIsWaitedFor) {
  BucketOptions options = Options();
  options.may_lose_versions = false;
  BucketDriver bucket(options);
  ASSERT_TRUE(bucket.state().Load(saved_).ok());
  bucket.state().NoteRecovered();
  EXPECT_FALSE(bucket.answered(bucket.Push(1, 3, Values(2))));
  EXPECT_THAT(bucket.state().RanksToRetire(absl::ZeroDuration()), IsEmpty());
}

TEST_F(LostVersionsTest, WhatIsHeldIsSaved) {
  bucket_->Push(0, 5, Values(4));
  const auto loaded = Loaded(Saved(*bucket_));
  EXPECT_TRUE(loaded->answered(loaded->Push(1, 5, Values(2))));
  EXPECT_EQ(loaded->state().version(), 6u);
  EXPECT_EQ(loaded->weights()[0], bucket_->weights()[0] - 3);
}

}  // namespace
}  // namespace cddp
