#include "worker/trainer/local_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace cddp {
namespace {

constexpr size_t kElements = 200'000;  // several blocks, and a part of one

std::vector<float> Noise(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(kElements);
  for (float& value : values) value = normal(random);
  return values;
}

class LocalStepsTest : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(LocalStepsTest, BlockByBlockIsTheSameAsTheWholeOptimizer) {
  OptimizerOptions inner;
  inner.kind = GetParam();
  inner.weight_decay = 0.01;
  std::vector<float> weights = Noise(1);
  const std::vector<float> initial = weights;
  std::vector<float> expected = weights;
  const std::unique_ptr<Optimizer> optimizer = Optimizer::Create(inner, kElements);
  LocalSteps local(inner, weights);
  for (uint32_t step = 0; step < 3; ++step) {
    const std::vector<float> gradients = Noise(10 + step);
    std::vector<float> change = gradients;
    optimizer->Step(absl::MakeSpan(change), expected, {});
    for (size_t i = 0; i < kElements; ++i) expected[i] += change[i];

    local.Begin();
    uint64_t done = kElements;
    for (uint64_t ready : {199'999, 150'000, 150'000, 70'000, 65'536, 1, 0}) {
      const uint64_t now = local.Step(ready, gradients, absl::MakeSpan(weights), /*with_difference=*/step == 2);
      EXPECT_LE(now, done);
      EXPECT_GE(now, ready);
      done = now;
    }
    EXPECT_EQ(done, 0u);
  }
  EXPECT_EQ(weights, expected);
  for (size_t i = 0; i < kElements; ++i) ASSERT_EQ(local.difference()[i], initial[i] - weights[i]);
}

TEST_P(LocalStepsTest, GoesOnFromItsState) {
  OptimizerOptions inner;
  inner.kind = GetParam();
  const auto step = [](LocalSteps* local, uint32_t seed, std::vector<float>* weights) {
    local->Begin();
    local->Step(0, Noise(seed), absl::MakeSpan(*weights), /*with_difference=*/true);
  };
  std::vector<float> weights = Noise(1);
  LocalSteps first(inner, weights);
  step(&first, 10, &weights);
  std::vector<float> again = weights;
  LocalSteps second(inner, again);
  ASSERT_TRUE(second.SetState(first.State()).ok());
  step(&first, 11, &weights);
  step(&second, 11, &again);
  EXPECT_EQ(weights, again);

  EXPECT_TRUE(absl::IsInvalidArgument(second.SetState(first.State() + "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(second.SetState("")));
}

INSTANTIATE_TEST_SUITE_P(Optimizers, LocalStepsTest, ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamW),
                         [](const auto& info) { return AbslUnparseFlag(info.param); });

}  // namespace
}  // namespace cddp
