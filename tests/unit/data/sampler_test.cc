#include "worker/data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace cddp {
namespace {

using ::testing::HasSubstr;

std::vector<uint32_t> Epoch(const SamplerOptions& options, uint64_t epoch) {
  EpochSampler sampler = *EpochSampler::Create(options);
  sampler.StartEpoch(epoch);
  std::vector<uint32_t> all;
  for (uint64_t step = 0; step < sampler.steps_per_epoch(); ++step) {
    const absl::Span<const uint32_t> batch = sampler.Batch(step);
    EXPECT_EQ(batch.size(), options.batch_size);
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

TEST(SamplerTest, WorkersAreDisjointAndTogetherCoverAllButARest) {
  for (uint32_t workers : {1, 2, 3, 7}) {
    std::set<uint32_t> seen;
    for (uint32_t rank = 0; rank < workers; ++rank) {
      for (uint32_t example : Epoch({1000, rank, workers, 8, 42}, 1)) {
        EXPECT_LT(example, 1000u);
        EXPECT_TRUE(seen.insert(example).second) << "example " << example << " twice";
      }
    }
    EXPECT_EQ(seen.size(), 1000 / (workers * 8) * (workers * 8));
  }
}

TEST(SamplerTest, EpochsAndSeedsDifferAndRepeat) {
  const SamplerOptions options = {500, 1, 2, 10, 42};
  EXPECT_EQ(Epoch(options, 3), Epoch(options, 3));
  EXPECT_NE(Epoch(options, 3), Epoch(options, 4));
  SamplerOptions other = options;
  other.seed = 43;
  EXPECT_NE(Epoch(options, 3), Epoch(other, 3));
}

TEST(SamplerTest, IsTheSameOnEveryMachine) {
  // As it was when this test was written: standard libraries may not change it.
  const std::vector<uint32_t> epoch = Epoch({10, 0, 1, 10, 42}, 1);
  EXPECT_EQ(epoch, (std::vector<uint32_t>{3, 8, 9, 4, 7, 2, 1, 0, 5, 6}));
}

TEST(SamplerTest, LeavesOutOtherExamplesEachEpoch) {
  const SamplerOptions options = {10, 0, 1, 8, 42};
  std::set<uint32_t> seen;
  for (uint64_t epoch = 0; epoch < 20; ++epoch) {
    for (uint32_t example : Epoch(options, epoch)) seen.insert(example);
  }
  EXPECT_EQ(seen.size(), 10u);
}

TEST(SamplerTest, RefusesTooFewExamples) {
  EXPECT_FALSE(EpochSampler::Create({15, 0, 4, 4, 42}).ok());
  EXPECT_TRUE(EpochSampler::Create({16, 0, 4, 4, 42}).ok());
}

TEST(SamplerTest, RefusesRanksAndBatchesThatCannotBe) {
  // The last worker takes the last position; one more would read behind the permutation.
  EXPECT_TRUE(EpochSampler::Create({16, 3, 4, 4, 42}).ok());
  EXPECT_THAT(EpochSampler::Create({16, 4, 4, 4, 42}).status().message(), HasSubstr("rank 4 is outside the 4 worker"));
  EXPECT_FALSE(EpochSampler::Create({16, 0, 0, 4, 42}).ok());
  EXPECT_THAT(EpochSampler::Create({16, 0, 4, 0, 42}).status().message(), HasSubstr("--batch_size"));
}

}  // namespace
}  // namespace cddp
