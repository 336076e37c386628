// Which workers wait for which: quorum, bounded staleness, asynchronous, workers that leave and come.

#include "server/consistency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/codec/update_codec.h"
#include "tests/unit/server/bucket_driver.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

BucketOptions With(Consistency mode, uint32_t workers, uint32_t quorum = 0, uint64_t max_staleness = 0) {
  BucketOptions options = DenseOptions(workers);
  options.consistency = {mode, quorum, max_staleness};
  return options;
}

void Initialise(BucketDriver& bucket, uint32_t workers) {
  bucket.Push(0, 0, Dense(std::vector<float>(kBucketLength, 0)));
  for (uint32_t rank = 1; rank < workers; ++rank) bucket.Push(rank, 0, "");
}

std::vector<float> First(float value) {
  std::vector<float> values(kBucketLength);
  values[0] = value;
  return values;
}

TEST(QuorumTest, GoesOnWithTheFirstAndAddsTheLateToTheNextRound) {
  BucketDriver bucket(With(Consistency::kSync, 3, /*quorum=*/2));
  Initialise(bucket, 3);
  bucket.Push(0, 1, Dense(First(3)));
  bucket.Push(1, 1, Dense(First(3)));
  EXPECT_EQ(bucket.state().version(), 2u);
  EXPECT_EQ(bucket.weights()[0], -2) << "two of three thirds";

  const size_t late = bucket.Push(2, 1, Dense(First(6)));
  ASSERT_TRUE(bucket.answered(late)) << "the late worker goes on at once";
  EXPECT_EQ(bucket.answer(late).version, 2u);
  EXPECT_EQ(bucket.weights()[0], -2);
  bucket.Push(2, 2, Dense(First(0)));
  bucket.Push(0, 2, Dense(First(0)));
  EXPECT_EQ(bucket.weights()[0], -4) << "its late contribution came with the next round";
}

// What a round touched goes out whole, whatever the mode: each contribution's own where each is a round, and a late
// one's with the round in which it counts.
TEST(PublishTest, AllThatWasPushedIsPublishedInEveryMode) {
  for (const Consistency mode : {Consistency::kStale, Consistency::kAsync}) {
    BucketOptions options = With(mode, 3, 0, /*max_staleness=*/9);
    options.publish.ratio = kPublishAllPushed;
    BucketDriver bucket(options);
    Initialise(bucket, 3);
    bucket.Push(0, 1, Dense({3, 6, 0, 0, 0, 0, 0, 0}));
    EXPECT_THAT(bucket.weights(), ::testing::ElementsAre(-1, -2, 0, 0, 0, 0, 0, 0));
    bucket.Push(1, 1, Dense({0, 3, 0, 0, 9, 0, 0, 0}));
    EXPECT_THAT(bucket.weights(), ::testing::ElementsAre(-1, -3, 0, 0, -3, 0, 0, 0));
  }
  BucketOptions options = With(Consistency::kSync, 3, /*quorum=*/2);
  options.publish.ratio = kPublishAllPushed;
  BucketDriver bucket(options);
  Initialise(bucket, 3);
  bucket.Push(0, 1, Dense({3, 0, 0, 0, 0, 0, 0, 0}));
  bucket.Push(1, 1, "");
  bucket.Push(2, 1, Dense({0, 0, 6, 9, 0, 0, 0, 0}));
  bucket.Push(0, 2, "");
  bucket.Push(1, 2, "", std::nullopt, /*non_finite=*/true);
  EXPECT_THAT(bucket.weights(), ::testing::ElementsAre(-1, 0, 0, 0, 0, 0, 0, 0)) << "refused: what was late waits";
  bucket.Push(0, 3, Dense({0, 0, 0, 0, 0, 0, 0, 3}));
  bucket.Push(1, 3, "");
  EXPECT_THAT(bucket.weights(), ::testing::ElementsAre(-1, 0, -2, -3, 0, 0, 0, -1));
}

TEST(QuorumTest, ALateRetryIsNotCountedTwice) {
  BucketDriver bucket(With(Consistency::kSync, 3, /*quorum=*/2));
  Initialise(bucket, 3);
  bucket.Push(0, 1, "");
  bucket.Push(1, 1, "");
  bucket.Push(2, 1, Dense(First(6)));
  ASSERT_TRUE(bucket.answered(bucket.Push(2, 1, Dense(First(6)))));
  bucket.Push(0, 2, "");
  bucket.Push(1, 2, "");
  EXPECT_EQ(bucket.weights()[0], -2);
}

TEST(StaleTest, AWorkerWaitsExactlyWhileItIsTooFarAhead) {
  constexpr uint64_t kBound = 2;
  BucketDriver bucket(With(Consistency::kStale, 2, 0, kBound));
  Initialise(bucket, 2);
  EXPECT_TRUE(bucket.answered(bucket.Push(0, 1, Dense(First(1)))));
  EXPECT_TRUE(bucket.answered(bucket.Push(0, 2, Dense(First(1)))));
  const size_t ahead = bucket.Push(0, 3, Dense(First(1)));
  EXPECT_FALSE(bucket.answered(ahead)) << "three steps ahead of rank 1";
  EXPECT_EQ(bucket.weights()[0], -1.5f) << "but its contribution has been applied, each half a step";
  bucket.Push(1, 1, "");
  EXPECT_TRUE(bucket.answered(ahead));
  EXPECT_FALSE(bucket.answered(bucket.Push(0, 4, "")));
}

// Found by the simulation: a lead of a worker that joined after another's step 0, in the buckets of one server and not
// in those of another, made workers wait for each other for good.
TEST(StaleTest, NobodyIsAheadThatJoinsWhileOthersBegin) {
  BucketDriver bucket(With(Consistency::kStale, 3, 0, /*max_staleness=*/0));
  std::vector<size_t> calls;
  for (uint32_t rank = 0; rank < 3; ++rank) {
    bucket.state().Admit(rank);
    calls.push_back(bucket.Push(rank, 0, ""));
  }
  for (const size_t call : calls) EXPECT_TRUE(bucket.answered(call));
}

// Found by the simulation: each bucket's server admitted newcomers at a moment of its own, which gave two that came at
// the same time a lead over each other in different buckets.
TEST(StaleTest, TwoNewcomersThatLeadInDifferentBucketsDoNotWaitForEachOther) {
  constexpr uint32_t kWorkers = 3;
  BucketOptions options = With(Consistency::kStale, kWorkers, 0, /*max_staleness=*/0);
  BucketDriver first(options);
  options.bucket = 1;
  BucketDriver second(options);
  for (BucketDriver* bucket : {&first, &second}) {
    Initialise(*bucket, kWorkers);
    bucket->state().Retire(1);
    bucket->state().Retire(2);
  }
  const auto admit_while_another_goes_on = [](BucketDriver& bucket, uint32_t early, uint32_t late) {
    bucket.state().Admit(early);
    bucket.Push(0, 1, "");
    bucket.state().Admit(late);
    bucket.state().Retire(0);
  };
  admit_while_another_goes_on(first, 1, 2);
  admit_while_another_goes_on(second, 2, 1);
  // Each pushes both buckets, and makes its next step once both are answered.
  std::vector<size_t> steps(kWorkers, 0);
  std::vector<std::pair<size_t, size_t>> calls(kWorkers);
  for (int i = 0; i < 20; ++i) {
    for (const uint32_t rank : {1u, 2u}) {
      const auto [in_first, in_second] = calls[rank];
      if (steps[rank] > 0 && !(first.answered(in_first) && second.answered(in_second))) continue;
      const uint64_t step = ++steps[rank];
      calls[rank] = {first.Push(rank, step, "", 1), second.Push(rank, step, "", 1)};
    }
  }
  EXPECT_GT(*std::min_element(steps.begin() + 1, steps.end()), 5u);
}

TEST(StaleTest, TheBoundHoldsInEveryOrder) {
  constexpr uint64_t kBound = 3;
  constexpr uint32_t kWorkers = 3;
  uint32_t random = 5;
  BucketDriver bucket(With(Consistency::kStale, kWorkers, 0, kBound));
  Initialise(bucket, kWorkers);
  std::vector<uint64_t> steps(kWorkers, 0);
  std::vector<std::optional<size_t>> pending(kWorkers);
  for (int i = 0; i < 2000; ++i) {
    random = random * 1664525 + 1013904223;
    const uint32_t rank = (random >> 16) % kWorkers;
    if (pending[rank].has_value() && !bucket.answered(*pending[rank])) continue;
    // The worker goes on to its next step: no other may be more than the bound behind.
    for (uint64_t other : steps) ASSERT_LE(steps[rank], other + kBound);
    pending[rank] = bucket.Push(rank, ++steps[rank], "", /*base_version=*/1);
  }
  EXPECT_GT(*std::min_element(steps.begin(), steps.end()), 100u) << "and nobody is stuck";
}

TEST(StaleTest, StalenessReachesItsBoundAndNoMore) {
  constexpr uint64_t kMaxStaleness = 2;
  constexpr uint32_t kWorkers = 3;
  const BucketOptions options = With(Consistency::kStale, kWorkers, 0, kMaxStaleness);
  const uint64_t bound = StalenessBound(options.consistency, kWorkers);
  const uint64_t in_bucket_0 = bound - 2 * 3;
  EXPECT_EQ(in_bucket_0, 2 * (2 * kMaxStaleness + 1));
  uint32_t random = 7;
  BucketDriver bucket(options);
  Initialise(bucket, kWorkers);
  std::vector<uint64_t> steps(kWorkers, 0);
  std::vector<std::optional<size_t>> pending(kWorkers);
  uint64_t largest = 0;
  uint32_t rank = 0;
  for (int i = 0; i < 5000; ++i) {
    random = random * 1664525 + 1013904223;
    if (random >> 30 == 0) rank = (random >> 16) % kWorkers;  // in runs of the same worker, to get far ahead
    if (pending[rank].has_value() && !bucket.answered(*pending[rank])) {
      rank = (rank + 1) % kWorkers;
      continue;
    }
    const uint64_t base = pending[rank].has_value() ? bucket.answer(*pending[rank]).version : 1;
    pending[rank] = bucket.Push(rank, ++steps[rank], "", base);
    ASSERT_TRUE(bucket.timing().has_value());
    largest = std::max(largest, bucket.timing()->staleness);
    ASSERT_LE(largest, in_bucket_0);
  }
  EXPECT_EQ(largest, in_bucket_0);
}

TEST(QuorumTest, ALateContributionIsStale) {
  BucketDriver bucket(With(Consistency::kSync, 3, /*quorum=*/2));
  Initialise(bucket, 3);
  bucket.Push(0, 1, "");
  bucket.Push(1, 1, "");
  EXPECT_EQ(bucket.timing()->staleness, 0u);
  bucket.Push(2, 1, "");
  bucket.Push(0, 2, "");
  bucket.Push(1, 2, "");
  EXPECT_EQ(bucket.timing()->staleness, 1u);
  EXPECT_EQ(StalenessBound({Consistency::kSync, 2, 4}, 3), 0u);
}

TEST(AsyncTest, NobodyWaitsAndEachAnswerHoldsAllChangesSinceTheBase) {
  BucketDriver bucket(With(Consistency::kAsync, 2));
  Initialise(bucket, 2);
  for (uint64_t step = 1; step <= 3; ++step) EXPECT_TRUE(bucket.answered(bucket.Push(0, step, Dense(First(2)), step)));
  EXPECT_EQ(bucket.weights()[0], -3);
  const size_t behind = bucket.Push(1, 1, Dense(First(2)), /*base_version=*/1);
  std::vector<float> replica(kBucketLength);
  ASSERT_TRUE(bucket.ApplyAnswer(behind, &replica));
  EXPECT_EQ(replica, bucket.weights());
  EXPECT_EQ(bucket.answer(behind).version, 5u);
}

TEST(AsyncTest, ANonFiniteContributionIsRefusedToItsWorkerOnly) {
  BucketDriver bucket(With(Consistency::kAsync, 2));
  Initialise(bucket, 2);
  EXPECT_TRUE(bucket.answer(bucket.Push(0, 1, "", 1, /*non_finite=*/true)).refused);
  EXPECT_FALSE(bucket.answer(bucket.Push(1, 1, Dense(First(2)), 1)).refused);
  EXPECT_EQ(bucket.weights()[0], -1);
}

TEST(BucketStateTest, AWorkerTooFarBehindGetsTheWeightsThemselves) {
  BucketDriver bucket(With(Consistency::kAsync, 1));
  Initialise(bucket, 1);
  for (uint64_t step = 1; step <= 5; ++step) bucket.Push(0, step, Dense(First(1)), step);
  const size_t call = bucket.Push(0, 6, "", /*base_version=*/1);
  EXPECT_TRUE(bucket.answer(call).replaces) << "dense updates: the log holds no more than one";
  std::vector<float> replica(kBucketLength, 77);
  ASSERT_TRUE(bucket.ApplyAnswer(call, &replica));
  EXPECT_EQ(replica, bucket.weights());
}

TEST(BucketStateTest, AWorkerFarBehindGetsTheWeightsWhereTheyAreSmaller) {
  BucketOptions options = With(Consistency::kAsync, 1);
  options.log_versions = 1000;
  BucketDriver bucket(options);
  Initialise(bucket, 1);
  for (uint64_t step = 1; step <= 5; ++step) bucket.Push(0, step, Dense(First(1)), step);
  EXPECT_FALSE(bucket.answer(bucket.Push(0, 6, "", /*base_version=*/6)).replaces);
  EXPECT_TRUE(bucket.answer(bucket.Push(0, 7, "", /*base_version=*/1)).replaces);
}

TEST(MembersTest, RoundsGoOnWithoutARetiredWorkerAndWhatItContributedCounts) {
  BucketDriver bucket(With(Consistency::kSync, 3));
  Initialise(bucket, 3);
  const size_t waiting = bucket.Push(0, 1, Dense(First(2)));
  bucket.Push(2, 1, Dense(First(2)));
  EXPECT_THAT(bucket.state().waiting().ranks, ElementsAre(1));
  bucket.state().Retire(2);
  EXPECT_FALSE(bucket.answered(waiting));
  bucket.state().Retire(1);
  ASSERT_TRUE(bucket.answered(waiting));
  EXPECT_EQ(bucket.weights()[0], -2) << "the mean of those that have contributed";
  EXPECT_TRUE(bucket.answered(bucket.Push(0, 2, ""))) << "alone now";
}

TEST(MembersTest, AnAdmittedProcessIsWaitedFor) {
  BucketDriver bucket(With(Consistency::kSync, 2));
  Initialise(bucket, 2);
  bucket.state().Retire(1);
  bucket.Push(0, 1, Dense(First(1)));
  bucket.state().Admit(1);
  const size_t waiting = bucket.Push(0, 2, "");
  EXPECT_FALSE(bucket.answered(waiting));
  bucket.Push(1, 2, Dense(First(2)));
  EXPECT_TRUE(bucket.answered(waiting));
  EXPECT_EQ(bucket.weights()[0], -2);
}

TEST(MembersTest, WhatAProcessContributedBeforeItsSuccessorCameIsNotCountedTwice) {
  BucketDriver bucket(With(Consistency::kSync, 2));
  Initialise(bucket, 2);
  bucket.Push(1, 1, Dense(First(2)));
  bucket.state().Admit(1);
  bucket.Push(1, 1, Dense(First(2)));
  bucket.Push(0, 1, "");
  EXPECT_EQ(bucket.weights()[0], -1);
}

TEST(ConsistencyOptionsTest, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(Validate(ConsistencyOptions{}, 1).ok());
  EXPECT_THAT(Validate(ConsistencyOptions{Consistency::kSync, 5}, 4).message(), HasSubstr("--quorum=5"));
  EXPECT_THAT(Validate(ConsistencyOptions{Consistency::kAsync, 2}, 4).message(), HasSubstr("--consistency=sync"));
}

}  // namespace
}  // namespace cddp
