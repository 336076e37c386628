#include "server/bucket_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "common/transport/protocol.h"
#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BucketStateTest, StepZeroSetsTheWeightsAndLaterStepsApplyTheMeanGradient) {
  BucketDriver bucket(DenseOptions(2));
  bucket.Push(1, 0, "");
  EXPECT_FALSE(bucket.answered(0)) << "answers only when all have contributed";
  bucket.Push(0, 0, Dense({1, 2, 3, 4, 5, 6, 7, 8}));
  ASSERT_TRUE(bucket.answered(0));
  EXPECT_EQ(bucket.answer(0).version, 1u);
  EXPECT_THAT(bucket.weights(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  bucket.Push(0, 1, Dense({2, 0, 0, 0, 0, 0, 0, 0}));
  bucket.Push(1, 1, Dense({4, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_THAT(bucket.weights(), ElementsAre(-2, 2, 3, 4, 5, 6, 7, 7.5));
  EXPECT_EQ(bucket.answer(2).updates[0].data(), bucket.answer(3).updates[0].data()) << "the same bytes, shared";
}

TEST(BucketStateTest, ARetryIsAnsweredAndNeverCountedTwice) {
  BucketDriver bucket(DenseOptions(2));
  bucket.Push(0, 0, Dense({0, 0, 0, 0, 0, 0, 0, 0}));
  bucket.Push(1, 0, "");
  const std::string gradient = Dense({2, 0, 0, 0, 0, 0, 0, 0});
  const size_t first = bucket.Push(0, 1, gradient);
  const size_t retry = bucket.Push(0, 1, gradient);
  EXPECT_FALSE(bucket.answered(retry));
  bucket.Push(1, 1, "");
  EXPECT_THAT(bucket.weights(), ElementsAre(-1, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(bucket.answer(first).version, 2u);
  EXPECT_EQ(bucket.answer(retry).version, 2u);
  const size_t late = bucket.Push(0, 1, gradient);
  ASSERT_TRUE(bucket.answered(late)) << "a retry of the last step is answered at once";
  EXPECT_EQ(bucket.answer(late).updates[0].data(), bucket.answer(first).updates[0].data());
  EXPECT_THAT(bucket.weights(), ElementsAre(-1, 0, 0, 0, 0, 0, 0, 0));
}

TEST(BucketStateTest, TheOrderOfArrivalDoesNotChangeABit) {
  constexpr uint32_t kWorkers = 5;
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 1e3f);
  std::vector<std::string> gradients;
  for (uint32_t rank = 0; rank < kWorkers; ++rank) {
    std::vector<float> values(1000);
    for (float& value : values) value = normal(random) * std::exp(normal(random) * 0.01f);
    gradients.push_back(Dense(values));
  }
  std::optional<uint32_t> expected;
  std::vector<uint32_t> order(kWorkers);
  std::iota(order.begin(), order.end(), 0);
  for (int trial = 0; trial < 20; ++trial) {
    BucketDriver bucket(DenseOptions(kWorkers, 0.1), 1000);
    for (uint64_t step = 0; step < 4; ++step) {
      std::shuffle(order.begin(), order.end(), random);
      for (uint32_t rank : order) bucket.Push(rank, step, gradients[(rank + step) % kWorkers]);
    }
    const uint32_t checksum = bucket.state().Checksum(0);
    EXPECT_EQ(checksum, expected.value_or(checksum));
    expected = checksum;
  }
}

TEST(BucketStateTest, PublishedPlusResidualFollowsTheTrueWeights) {
  // Publishing an eighth of the changes: what is held back comes later, so that after silence all has been told.
  BucketDriver bucket(DenseOptions(1, 1.0 / kBucketLength));
  bucket.Push(0, 0, Dense({0, 0, 0, 0, 0, 0, 0, 0}));
  bucket.Push(0, 1, Dense({8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_THAT(bucket.weights(), ElementsAre(-8, 0, 0, 0, 0, 0, 0, 0));
  for (uint64_t step = 2; step <= kBucketLength; ++step) bucket.Push(0, step, "");
  EXPECT_THAT(bucket.weights(), ElementsAre(-8, -7, -6, -5, -4, -3, -2, -1));
}

TEST(BucketStateTest, AReplicaThatAddsTheAnswersEqualsThePublishedWeightsBitForBit) {
  BucketDriver bucket(DenseOptions(1, 0.3), 100);
  std::vector<float> replica(100);
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (uint64_t step = 0; step < 30; ++step) {
    std::vector<float> gradient(100);
    for (float& value : gradient) value = normal(random);
    const size_t call = bucket.Push(0, step, Dense(gradient));
    ASSERT_TRUE(bucket.ApplyAnswer(call, &replica));
    ASSERT_EQ(replica, bucket.weights());
  }
}

TEST(BucketStateTest, ANonFiniteContributionRefusesTheStepForAll) {
  BucketDriver bucket(DenseOptions(2));
  bucket.Push(0, 0, Dense({1, 1, 1, 1, 1, 1, 1, 1}));
  bucket.Push(1, 0, "");
  const size_t good = bucket.Push(0, 1, Dense({2, 0, 0, 0, 0, 0, 0, 0}));
  const size_t bad = bucket.Push(1, 1, "", std::nullopt, /*non_finite=*/true);
  EXPECT_TRUE(bucket.answer(good).refused);
  EXPECT_TRUE(bucket.answer(bad).refused);
  EXPECT_THAT(bucket.weights(), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1));
  EXPECT_EQ(bucket.state().version(), 2u) << "training goes on with the next step";
}

TEST(BucketStateTest, AReplicaWithAnotherChecksumGetsTheWeightsWhole) {
  BucketDriver bucket(DenseOptions(2));
  for (uint64_t step = 0; step < kReplicaCheckPeriod; ++step) {
    bucket.Push(0, step, Dense({1, 0, 0, 0, 0, 0, 0, 0}));
    bucket.Push(1, step, "");
  }
  const uint32_t right = bucket.state().Checksum(0);  // of a version that is checked
  const size_t good = bucket.Push(0, kReplicaCheckPeriod, "", std::nullopt, false, right);
  const size_t bad = bucket.Push(1, kReplicaCheckPeriod, Dense({0, 1, 0, 0, 0, 0, 0, 0}), std::nullopt, false, ~right);
  EXPECT_FALSE(bucket.answer(good).replaces);
  EXPECT_FALSE(bucket.answer(good).replica_differed);
  EXPECT_TRUE(bucket.answer(bad).replaces);
  EXPECT_TRUE(bucket.answer(bad).replica_differed);
  std::vector<float> replica(kBucketLength, 123);
  ASSERT_TRUE(bucket.ApplyAnswer(bad, &replica));
  EXPECT_EQ(replica, bucket.weights());
}

TEST(BucketStateTest, BadInputGetsAnErrorAndChangesNothing) {
  BucketDriver bucket(DenseOptions(2));
  bucket.Push(0, 0, Dense({1, 1, 1, 1, 1, 1, 1, 1}));
  bucket.Push(1, 0, "");
  const auto error_of = [&](size_t call) { return std::string(bucket.error(call).message()); };
  EXPECT_THAT(error_of(bucket.Push(7, 1, "")), HasSubstr("rank 7"));
  EXPECT_THAT(error_of(bucket.Push(0, 5, "")), HasSubstr("base version 5 is ahead"));
  EXPECT_EQ(bucket.error(bucket.Push(0, 1, "rubbish")).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bucket.error(bucket.Push(0, 1, Dense({1, 2}))).code(), absl::StatusCode::kInvalidArgument)
      << "another length";
  EXPECT_TRUE(bucket.state().waiting().ranks.empty()) << "no round is open";
  bucket.Push(0, 1, Dense({2, 2, 2, 2, 2, 2, 2, 2}));
  bucket.Push(1, 1, "");
  EXPECT_THAT(bucket.weights(), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
}

TEST(BucketStateTest, DivergenceEndsWithAnErrorForAll) {
  const float huge = std::numeric_limits<float>::max();
  BucketOptions options = DenseOptions(2);
  options.optimizer.lr.base = 1e30;
  BucketDriver diverging(options);
  diverging.Push(0, 0, "");
  diverging.Push(1, 0, "");
  diverging.Push(0, 1, Dense({huge, 0, 0, 0, 0, 0, 0, 0}));
  const size_t call = diverging.Push(1, 1, "");
  EXPECT_THAT(std::string(diverging.error(call).message()), HasSubstr("diverged"));
  EXPECT_THAT(diverging.weights(), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
}

TEST(BucketStateTest, TellsWhomItWaitsForAndCloseAnswersAll) {
  BucketDriver bucket(DenseOptions(3));
  const size_t call = bucket.Push(1, 0, "");
  EXPECT_THAT(bucket.state().waiting().ranks, ElementsAre(0, 2));
  bucket.state().Close(absl::UnavailableError("ending"));
  EXPECT_EQ(bucket.error(call).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(bucket.error(bucket.Push(0, 0, "")).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace cddp
