// A whole cluster in one process: the same bits in every order of arrival, and nothing is lost between what goes in and
// out.

#include <gtest/gtest.h>
#include <sched.h>

#include <optional>
#include <random>
#include <thread>

#include "tests/integration/quadratic.h"

namespace cddp {
namespace {

// The processors on which threads made from now on may run, until the end of the object.
class OnOneProcessor {
 public:
  OnOneProcessor() {
    EXPECT_EQ(sched_getaffinity(0, sizeof before_, &before_), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
      if (CPU_ISSET(cpu, &before_)) CPU_SET(cpu, &one);
    }
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~OnOneProcessor() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

class DeterminismTest : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(DeterminismTest, NeitherServersNorProcessorsNorArrivalChangeABit) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(4, layout.total_elements());
  const std::vector<float> initial = Noise(layout.total_elements(), 7);
  LocalClusterOptions options;
  options.workers = 4;
  options.push = options.publish = TopK(0.02);
  options.small_tensor_elements = 100;
  options.optimizer.weight_decay = 1e-3;
  options.optimizer.kind = GetParam();
  for (bool nesterov : {false, true}) {
    if (nesterov && GetParam() != OptimizerKind::kSgd) continue;
    options.optimizer.nesterov = nesterov;
    options.publish.ratio = nesterov ? 0.02 : kPublishAllPushed;
    std::optional<std::vector<float>> expected;
    for (uint32_t servers : {1, 2, 3}) {
      for (bool one_processor : {false, true}) {
        std::optional<OnOneProcessor> affinity;
        if (one_processor) affinity.emplace();
        options.servers = servers;
        const uint32_t seed = 2 * servers + one_processor;
        const auto gradient = [&](uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> to) {
          problem.gradient()(rank, step, weights, to);
          // Another order of arrival in each run and step.
          for (uint32_t wait = std::mt19937(seed * 1000 + step * 10 + rank)() % 64; wait > 0; --wait) {
            std::this_thread::yield();
          }
        };
        const std::vector<float> weights = RunLocalCluster(options, layout, initial, 30, gradient).weights;
        if (!expected.has_value()) expected = weights;
        EXPECT_EQ(weights, *expected) << servers << " servers, one processor: " << one_processor;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, DeterminismTest,
                         ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW),
                         [](const auto& info) { return AbslUnparseFlag(info.param); });

TEST(ClusterTest, WhatWasSentPlusTheResidualIsWhatWasFedIn) {
  // Plain SGD with lr 1 and dense publishing: the weights move by minus the mean of all that was sent.
  const ParameterLayout layout = Layout();
  constexpr uint32_t kWorkers = 3;
  constexpr uint64_t kSteps = 25;
  std::vector<double> fed(layout.total_elements());
  for (uint32_t rank = 0; rank < kWorkers; ++rank) {
    for (uint64_t step = 1; step <= kSteps; ++step) {
      const std::vector<float> gradient = Noise(fed.size(), rank * 1000 + static_cast<uint32_t>(step));
      for (size_t i = 0; i < fed.size(); ++i) fed[i] += gradient[i];
    }
  }
  LocalClusterOptions options;
  options.workers = kWorkers;
  options.servers = 2;
  options.optimizer = PlainSgd(/*lr=*/1);
  options.push = TopK(0.03);
  options.publish = TopK(1, ValueEncoding::kFp32);
  const LocalRun run = RunLocalCluster(options, layout, std::vector<float>(fed.size()), kSteps,
                                       [&](uint32_t rank, uint64_t step, auto, absl::Span<float> gradient) {
                                         const std::vector<float> noise =
                                             Noise(fed.size(), rank * 1000 + static_cast<uint32_t>(step));
                                         std::copy(noise.begin(), noise.end(), gradient.begin());
                                       });
  for (size_t i = 0; i < fed.size(); ++i) {
    double held = 0;
    for (const std::vector<float>& residual : run.residuals) held += residual[i];
    ASSERT_NEAR(-run.weights[i] * double{kWorkers} + held, fed[i], 1e-3) << "element " << i;
  }
}

}  // namespace
}  // namespace cddp
