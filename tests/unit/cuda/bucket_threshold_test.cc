#include "worker/cuda/bucket_threshold.h"

#include <gtest/gtest.h>

#include <bit>

namespace cddp {
namespace {

device::Wanted Wanted() {
  device::Wanted wanted;
  wanted.k = 100;
  wanted.candidate_room = 4396;
  return wanted;
}

// A step in which `candidates` reached the least key, and 100 were sent.
bool Misses(BucketThreshold* threshold, uint32_t candidates) {
  device::StepState state = {};
  state.candidates = candidates;
  state.threshold_key = std::bit_cast<uint32_t>(2.0f);
  state.selected = candidates < 100 ? 0 : 100;
  const bool misses = threshold->NeedsSearch(Wanted(), state);
  state.selected = 100;
  threshold->Carry(Wanted(), Selection::kTopK, state);
  return misses;
}

TEST(BucketThresholdTest, IsEstimatedInTheFirstStepAndForSomeStepsAfterAMiss) {
  BucketThreshold threshold;
  EXPECT_EQ(threshold.least_key(Wanted()), device::kEstimateKey);
  EXPECT_FALSE(Misses(&threshold, 150));
  const uint32_t carried = threshold.least_key(Wanted());
  EXPECT_LT(std::bit_cast<float>(carried), 2.0f);
  EXPECT_GT(std::bit_cast<float>(carried), 1.0f);
  EXPECT_TRUE(Misses(&threshold, 99));
  int estimated = 0;
  for (; threshold.least_key(Wanted()) == device::kEstimateKey; ++estimated) EXPECT_FALSE(Misses(&threshold, 150));
  EXPECT_EQ(estimated, 7);
}

TEST(BucketThresholdTest, WithForcedElementsAloneTheseAreTheCandidates) {
  device::Wanted wanted;
  wanted.forced = 10;
  EXPECT_EQ(BucketThreshold().least_key(wanted), device::kForcedOnlyKey);
}

}  // namespace
}  // namespace cddp
