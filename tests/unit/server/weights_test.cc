// Contributions with weights.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

using ::testing::FloatEq;
using ::testing::HasSubstr;

std::vector<float> First(float value) { return {value, 0, 0, 0, 0, 0, 0, 0}; }

BucketOptions With(uint32_t workers, Consistency mode = Consistency::kSync, uint32_t quorum = 0) {
  BucketOptions options = DenseOptions(workers);
  options.consistency.mode = mode;
  options.consistency.quorum = quorum;
  return options;
}

void Initialise(BucketDriver& bucket, uint32_t workers) {
  for (uint32_t rank = 0; rank < workers; ++rank) bucket.Push(rank, 0, rank == 0 ? Dense(First(0)) : "");
}

TEST(WeightsTest, ARoundIsTheWeightedMeanInWhateverOrderItsContributionsCome) {
  std::vector<float> expected;
  for (const std::vector<uint32_t>& order : {std::vector<uint32_t>{0, 1, 2}, {2, 0, 1}, {1, 2, 0}}) {
    BucketDriver bucket(With(3));
    Initialise(bucket, 3);
    for (const uint32_t rank : order) {
      bucket.PushWeighted(static_cast<float>(1 + 3 * rank), rank, 1,
                          Dense({static_cast<float>(rank), 0.3F, 0, 0, 0, 0, 0, 0.7F}));
    }
    EXPECT_FLOAT_EQ(bucket.weights()[0], -(0 * 1 + 1 * 4 + 2 * 7) / 12.0F);
    EXPECT_FLOAT_EQ(bucket.weights()[1], -0.3F);
    if (expected.empty()) expected = bucket.weights();
    EXPECT_EQ(bucket.weights(), expected);
  }
}

TEST(WeightsTest, EqualWeightsGiveTheBitsOfNone) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  BucketDriver plain(With(3)), ones(With(3)), sevens(With(3));
  for (BucketDriver* bucket : {&plain, &ones, &sevens}) Initialise(*bucket, 3);
  for (uint64_t step = 1; step <= 20; ++step) {
    for (uint32_t rank = 0; rank < 3; ++rank) {
      std::vector<float> values(kBucketLength);
      for (float& value : values) value = normal(random);
      plain.Push(rank, step, Dense(values));
      ones.PushWeighted(1, rank, step, Dense(values));
      sevens.PushWeighted(7, rank, step, Dense(values));
    }
  }
  EXPECT_EQ(ones.weights(), plain.weights());
  EXPECT_EQ(sevens.weights(), plain.weights());
}

TEST(WeightsTest, WhatContributesNothingHasItsUsualShare) {
  BucketDriver bucket(With(2));
  Initialise(bucket, 2);
  bucket.PushWeighted(30, 0, 1, Dense(First(1)));
  bucket.Push(1, 1, "");
  EXPECT_FLOAT_EQ(bucket.weights()[0], -0.5F) << "as much as the others', for it has none yet";
  bucket.PushWeighted(30, 0, 2, Dense(First(0)));
  bucket.PushWeighted(10, 1, 2, Dense(First(0)));
  bucket.PushWeighted(30, 0, 3, Dense(First(1)));
  bucket.Push(1, 3, "");
  EXPECT_FLOAT_EQ(bucket.weights()[0], -0.5F - 0.75F);
}

TEST(WeightsTest, AQuorumLeavesRoomForTheLateWhichThenCount) {
  BucketDriver bucket(With(3, Consistency::kSync, /*quorum=*/2));
  Initialise(bucket, 3);
  for (uint32_t rank = 0; rank < 3; ++rank) bucket.PushWeighted(rank == 2 ? 6 : 1, rank, 1, Dense(First(0)));
  bucket.PushWeighted(1, 0, 2, Dense(First(8)));
  bucket.PushWeighted(1, 1, 2, Dense(First(8)));
  EXPECT_FLOAT_EQ(bucket.weights()[0], -2) << "2 of 8";
  bucket.PushWeighted(6, 2, 2, Dense(First(8)));
  bucket.PushWeighted(1, 0, 3, Dense(First(0)));
  bucket.PushWeighted(1, 1, 3, Dense(First(0)));
  EXPECT_FLOAT_EQ(bucket.weights()[0], -8) << "the late one's 6 of 8";
}

TEST(WeightsTest, WhereEachContributionIsARoundAStepOfAllIsOneStep) {
  for (const Consistency mode : {Consistency::kAsync, Consistency::kStale}) {
    BucketDriver bucket(With(2, mode));
    Initialise(bucket, 2);
    for (uint64_t step = 1; step <= 2; ++step) {
      bucket.PushWeighted(30, 0, step, Dense(First(1)), /*base_version=*/1);
      bucket.PushWeighted(10, 1, step, Dense(First(1)), /*base_version=*/1);
    }
    // At first the other's is taken for as much: 1/2 and 10/40; then 30/40 and 10/40.
    EXPECT_FLOAT_EQ(bucket.weights()[0], -1.75F);
  }
}

TEST(WeightsTest, BadOnesAreRefusedAndChangeNothing) {
  BucketDriver bucket(With(1));
  Initialise(bucket, 1);
  for (const float weight :
       {0.0F, -1.0F, 1e20F, 1e-20F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const absl::Status error = bucket.error(bucket.PushWeighted(weight, 0, 1, Dense(First(1))));
    EXPECT_EQ(error.code(), absl::StatusCode::kInvalidArgument) << weight;
    EXPECT_THAT(error.message(), HasSubstr("a contribution's weight is "));
    EXPECT_THAT(error.message(), HasSubstr("it must be above 0"));
  }
  EXPECT_EQ(bucket.state().version(), 1u);
  bucket.PushWeighted(1e12F, 0, 1, Dense(First(1)));
  EXPECT_EQ(bucket.weights()[0], -1);
}

TEST(WeightsTest, ASavedBucketGoesOnWithThem) {
  BucketDriver bucket(With(3, Consistency::kSync, /*quorum=*/2));
  Initialise(bucket, 3);
  for (uint32_t rank = 0; rank < 3; ++rank) {
    bucket.PushWeighted(static_cast<float>(rank + 1), rank, 1, Dense(First(static_cast<float>(rank))));
  }
  bucket.PushWeighted(5, 1, 2, Dense(First(3)));  // the round is open
  std::string state;
  uint64_t position = 0;
  ASSERT_TRUE(bucket.state().Save(&state, &position).ok());
  BucketDriver restarted(With(3, Consistency::kSync, /*quorum=*/2));
  ASSERT_TRUE(restarted.state().Load(state).ok());
  for (BucketDriver* server : {&bucket, &restarted}) {
    server->PushWeighted(2, 0, 2, Dense(First(1)));
    server->PushWeighted(4, 2, 2, Dense(First(7)));  // late
    server->Push(0, 3, "");
    server->PushWeighted(5, 1, 3, Dense(First(3)));
  }
  EXPECT_EQ(restarted.weights(), bucket.weights());
  EXPECT_NE(bucket.weights()[0], 0);
}

}  // namespace
}  // namespace cddp
