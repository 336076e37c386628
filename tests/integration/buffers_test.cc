// Buffers become the workers' mean, whatever the parameters' compression and optimizer are.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <vector>

#include "tests/integration/local_cluster.h"
#include "worker/exchange/buffer_difference.h"

namespace cddp {
namespace {

constexpr uint64_t kParameters = 900;
constexpr uint64_t kBuffers = 150;

ParameterLayout Layout() {
  return *ParameterLayout::Create({{"w", {kParameters}},
                                   {"mean", {100}, TensorKind::kBuffer},
                                   {"var", {50}, TensorKind::kBuffer},
                                   {"batches", {}, TensorKind::kCounter}},
                                  128);
}

// Sparse both ways, Adam on the servers: nothing of which a buffer shall see.
LocalClusterOptions Options(Consistency mode) {
  LocalClusterOptions options;
  options.workers = 3;
  options.servers = 2;
  options.consistency.mode = mode;
  options.optimizer.kind = OptimizerKind::kAdam;
  options.optimizer.lr.base = 0.1;
  options.push.ratio = 0.01;
  options.publish.ratio = 0.01;
  options.residual_decay = 0.5;
  return options;
}

// What a worker's forward passes make of the published buffers: they move a tenth of the way to the worker's own aim.
void MoveBuffers(uint32_t rank, absl::Span<const float> weights, absl::Span<float> gradient) {
  const absl::Span<const float> published = weights.subspan(kParameters);
  std::vector<float> own(published.begin(), published.end());
  for (size_t i = 0; i < own.size(); ++i) own[i] += 0.1F * (static_cast<float>(rank * 10 + i) - own[i]);
  BufferDifference(published, own, gradient.subspan(kParameters));
}

TEST(BuffersTest, ComeToTheMeanOfTheWorkersInEveryMode) {
  for (const Consistency mode : {Consistency::kSync, Consistency::kStale, Consistency::kAsync}) {
    const LocalClusterOptions options = Options(mode);
    // Workers go step by step together where the mode lets them run on: one that stays behind would, alone, move the
    // buffers to its own aim.
    std::barrier together(static_cast<std::ptrdiff_t>(options.workers));
    std::vector<float> initial(kParameters + kBuffers, 1);
    const LocalRun run =
        RunLocalCluster(options, Layout(), initial, 150,
                        [&](uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> gradient) {
                          together.arrive_and_wait();
                          for (size_t i = 0; i < kParameters; ++i)
                            gradient[i] = static_cast<float>((i + step + rank) % 7) - 3;
                          MoveBuffers(rank, weights, gradient);
                        });
    for (size_t i = 0; i < kBuffers; ++i) {
      // Without the mode's order, who comes last in a step has moved them a little more.
      EXPECT_NEAR(run.weights[kParameters + i], 10 + static_cast<float>(i), mode == Consistency::kSync ? 1e-3 : 2);
    }
    EXPECT_EQ(run.residuals[0].size(), kParameters) << "nothing of a buffer waits";
  }
}

TEST(BuffersTest, OneExchangeIsEnough) {
  std::vector<float> initial(kParameters + kBuffers, 1);
  const LocalRun run =
      RunLocalCluster(Options(Consistency::kSync), Layout(), initial, 1,
                      [](uint32_t rank, uint64_t, absl::Span<const float> weights, absl::Span<float> gradient) {
                        std::fill(gradient.begin(), gradient.end(), 1.0F);
                        MoveBuffers(rank, weights, gradient);
                      });
  for (size_t i = 0; i < kBuffers; ++i) {
    EXPECT_FLOAT_EQ(run.weights[kParameters + i], 1 + 0.1F * (10 + static_cast<float>(i) - 1)) << i;
  }
}

TEST(BufferDifferenceTest, WhatIsNotFiniteStaysAsPublished) {
  const float published[] = {1, 2, 3};
  const float own[] = {0.5, NAN, INFINITY};
  float difference[3];
  BufferDifference(published, own, difference);
  EXPECT_THAT(difference, ::testing::ElementsAre(0.5F, 0, 0));
}

}  // namespace
}  // namespace cddp
