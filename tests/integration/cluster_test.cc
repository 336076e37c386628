// Servers and workers together, in one process: what the design's guarantees say of a whole cluster.

#include <gtest/gtest.h>

#include <limits>

#include "tests/integration/quadratic.h"

namespace cddp {
namespace {

struct Shape {
  uint32_t servers;
  uint32_t workers;
};
class ClusterShapeTest : public ::testing::TestWithParam<Shape> {};

// LibTorch's threads round denormals to zero. The exchange must not: half-precision changes below 2^-14 pass through
// them, and the replica would miss every such change.
TEST(ClusterTest, ReplicasAreThePublishedWeightsWhereTrainingFlushesDenormals) {
  LocalClusterOptions options;
  options.optimizer = PlainSgd(1e-5);
  options.push = TopK(0.1);
  options.publish = TopK(0.1);
  options.flush_denormals = true;
  const ParameterLayout layout = Layout();
  const Quadratic quadratic(options.workers, layout.total_elements());
  RunLocalCluster(options, layout, Noise(layout.total_elements(), 7), 20, quadratic.gradient());
}

TEST_P(ClusterShapeTest, ConvergesOnAQuadraticCompressedBothWays) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(GetParam().workers, layout.total_elements());
  LocalClusterOptions options;
  options.servers = GetParam().servers;
  options.workers = GetParam().workers;
  options.optimizer = PlainSgd(/*lr=*/0.01);
  options.push = options.publish = TopK(0.05);
  const LocalRun run = RunLocalCluster(options, layout, Noise(layout.total_elements(), 7), 1500, problem.gradient());
  EXPECT_LT(problem.DistanceFromMinimum(run.weights), 0.05);
  EXPECT_LT(run.last_traffic.pushed_bytes, layout.total_elements() * 4 / 15);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ClusterShapeTest, ::testing::Values(Shape{1, 1}, Shape{2, 4}, Shape{3, 5}),
                         [](const auto& info) {
                           return std::to_string(info.param.servers) + "x" + std::to_string(info.param.workers);
                         });

TEST(ClusterTest, DenseTrainingEqualsPlainSgdBitForBit) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(1, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 1;
  options.push = options.publish = TopK(1, ValueEncoding::kFp32);
  const std::vector<float> initial = Noise(layout.total_elements(), 7);
  const LocalRun run = RunLocalCluster(options, layout, initial, 20, problem.gradient());

  std::vector<float> weights = initial;
  std::vector<float> momentum(weights.size());
  std::vector<float> gradient(weights.size());
  for (uint64_t step = 1; step <= 20; ++step) {
    problem.gradient()(0, step, weights, absl::MakeSpan(gradient));
    for (size_t i = 0; i < weights.size(); ++i) {
      momentum[i] = 0.9f * momentum[i] + gradient[i];
      weights[i] += -0.05f * momentum[i];
    }
  }
  EXPECT_EQ(run.weights, weights);
}

TEST(ClusterTest, ANonFiniteGradientIsRefusedEverywhereAndTrainingGoesOn) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(3, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 3;
  options.servers = 2;
  options.optimizer = PlainSgd(/*lr=*/0.1);
  options.push = TopK(1, ValueEncoding::kFp32);
  options.publish = TopK(1, ValueEncoding::kFp32);
  const auto poisoned = [&](uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> gradient) {
    problem.gradient()(rank, step, weights, gradient);
    if (rank == 1 && step == 3) gradient[700] = std::numeric_limits<float>::quiet_NaN();
  };
  const LocalRun run = RunLocalCluster(options, layout, Noise(layout.total_elements(), 7), 150, poisoned);
  EXPECT_LT(problem.DistanceFromMinimum(run.weights), 0.01);
}

class ConsistencyTest : public ::testing::TestWithParam<ConsistencyOptions> {};

TEST_P(ConsistencyTest, ConvergesOnAQuadratic) {
  const ParameterLayout layout = Layout();
  // One target for all: workers of different speed would move the minimum of several.
  const Quadratic problem(1, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 4;
  options.servers = 2;
  options.consistency = GetParam();
  options.optimizer = PlainSgd(/*lr=*/0.01);
  options.push = options.publish = TopK(0.05);
  const LocalRun run = RunLocalCluster(
      options, layout, Noise(layout.total_elements(), 7), 1000,
      [&](uint32_t, uint64_t step, auto weights, auto gradient) { problem.gradient()(0, step, weights, gradient); });
  EXPECT_LT(problem.DistanceFromMinimum(run.weights), 0.05);
}

INSTANTIATE_TEST_SUITE_P(Modes, ConsistencyTest,
                         ::testing::Values(ConsistencyOptions{Consistency::kStale, 0, 4},
                                           ConsistencyOptions{Consistency::kAsync, 0, 0},
                                           ConsistencyOptions{Consistency::kSync, 3, 0}),
                         [](const auto& info) {
                           return AbslUnparseFlag(info.param.mode) + (info.param.quorum != 0 ? "_quorum" : "");
                         });

}  // namespace
}  // namespace cddp
