// The optimizer of tensors against the host's, with tensors of the host.

#include "worker/model/tensor_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "worker/optimizer/worker_optimizer.h"

namespace cddp {
namespace {

constexpr int64_t kElements = 2'200'000;  // two parts and more
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

ParameterLayout Layout() {
  return *ParameterLayout::Create({{"embedding", {1'000'000}}, {"w", {1000, 1100}}, {"bias", {100'000}}});
}

std::vector<float> Noise(uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(kElements);
  for (float& value : values) value = uniform(random);
  return values;
}

struct Setting {
  const char* name;
  WorkerOptimizerOptions options;
};

std::vector<Setting> Settings() {
  std::vector<Setting> settings;
  const auto add = [&](const char* name, OptimizerKind kind) -> WorkerOptimizerOptions& {
    settings.push_back({name, {}});
    settings.back().options.optimizer.kind = kind;
    settings.back().options.optimizer.weight_decay = 0.01;
    settings.back().options.optimizer.lr = {0.01, LearningRateSchedule::kCosine, 2, 10};
    return settings.back().options;
  };
  add("sgd", OptimizerKind::kSgd).optimizer.momentum = 0;
  add("momentum", OptimizerKind::kSgd);
  add("nesterov", OptimizerKind::kSgd).optimizer.nesterov = true;
  add("adam", OptimizerKind::kAdam);
  add("adamw", OptimizerKind::kAdamW);
  add("clipped", OptimizerKind::kAdamW).clip_norm = 1;
  add("groups", OptimizerKind::kAdamW).groups = {{"embedding", 0.002}, {"w", std::nullopt, 0.1}};
  return settings;
}

class TensorOptimizerTest : public ::testing::TestWithParam<Setting> {
 protected:
  std::unique_ptr<LocalOptimizer> OnTensors(std::vector<float>* weights) const {
    return *MakeTensorOptimizer(GetParam().options, Layout(), Device(), absl::MakeSpan(*weights));
  }
  std::unique_ptr<LocalOptimizer> OnHost(std::vector<float>* weights) const {
    return *WorkerOptimizer::Create(GetParam().options, Layout(), *weights);
  }
};

// In pieces, as a backward pass completes them.
void Step(LocalOptimizer* optimizer, const std::vector<float>& gradients, std::vector<float>* weights) {
  optimizer->Begin(/*skip=*/false, /*loss=*/nullptr);
  uint64_t done = kElements;
  for (const uint64_t ready : {2'150'000, 1'500'000, 900'000, 1, 0}) {
    const uint64_t now = optimizer->Step(ready, gradients, absl::MakeSpan(*weights), Along::kDifference);
    EXPECT_LE(now, done);
    EXPECT_GE(now, ready);
    done = now;
  }
  EXPECT_EQ(done, 0u);
}

void ExpectNear(absl::Span<const float> values, absl::Span<const float> expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected[i], 1e-6 + 2e-6 * std::abs(expected[i])) << "element " << i;
  }
}

TEST_P(TensorOptimizerTest, StepsAsTheHostsDoes) {
  std::vector<float> weights = Noise(1), expected = weights;
  const auto tensors = OnTensors(&weights), host = OnHost(&expected);
  for (uint32_t step = 0; step < 4; ++step) {
    Step(tensors.get(), Noise(10 + step), &weights);
    Step(host.get(), Noise(10 + step), &expected);
    ExpectNear(weights, expected);
    ExpectNear(tensors->difference(), host->difference());
  }
  EXPECT_EQ(tensors->TakeSkipped(), 0u);
}

TEST_P(TensorOptimizerTest, GoesAheadAsTheHostsDoes) {
  WorkerOptimizerOptions options = GetParam().options;
  options.overlaps = true;
  std::vector<float> weights = Noise(1), expected = weights;
  const auto tensors = *MakeTensorOptimizer(options, Layout(), Device(), absl::MakeSpan(weights));
  const std::unique_ptr<LocalOptimizer> host = *WorkerOptimizer::Create(options, Layout(), expected);
  for (uint32_t round = 0; round < 2; ++round) {
    Step(tensors.get(), Noise(10 + round), &weights);
    Step(host.get(), Noise(10 + round), &expected);
    for (const auto& [optimizer, own] : {std::pair(tensors.get(), &weights), {host.get(), &expected}}) {
      ASSERT_TRUE(optimizer->NoteMoved(*own).ok());
      ASSERT_TRUE(optimizer->GoAhead(absl::MakeSpan(*own)).ok());
    }
    ExpectNear(tensors->difference(), host->difference());
    ExpectNear(weights, expected);
    const std::vector<float> published = Noise(20 + round);
    for (const auto& [optimizer, own] : {std::pair(tensors.get(), &weights), {host.get(), &expected}}) {
      ASSERT_TRUE(optimizer->SetReplica(published).ok());
      ASSERT_TRUE(optimizer->TakeAnswer(absl::MakeSpan(*own)).ok());
    }
    ExpectNear(weights, expected);
  }
  ASSERT_TRUE(tensors->TakePublished(absl::MakeSpan(weights)).ok());
  ASSERT_TRUE(tensors->NoteMoved(weights).ok());
  for (const float value : tensors->difference()) ASSERT_EQ(value, 0);
}

TEST_P(TensorOptimizerTest, GoesOnFromTheHostsStateAndTheOtherWayRound) {
  std::vector<float> weights = Noise(1), expected = weights;
  const auto tensors = OnTensors(&weights), host = OnHost(&expected);
  Step(host.get(), Noise(10), &expected);
  weights = expected;
  ASSERT_TRUE(tensors->SetState(*host->SaveState()).ok());
  EXPECT_EQ(*tensors->SaveState(), *host->SaveState());
  Step(tensors.get(), Noise(11), &weights);
  Step(host.get(), Noise(11), &expected);
  ExpectNear(weights, expected);
  ASSERT_TRUE(host->SetState(*tensors->SaveState()).ok());

  EXPECT_TRUE(absl::IsInvalidArgument(tensors->SetState(*host->SaveState() + "x")));
  EXPECT_TRUE(absl::IsInvalidArgument(tensors->SetState("")));
}

TEST_P(TensorOptimizerTest, WhatIsNotFiniteIsLeftOutAndNeverReachesWeightsOrState) {
  std::vector<float> weights = Noise(1);
  const auto optimizer = OnTensors(&weights);
  Step(optimizer.get(), Noise(10), &weights);
  for (const float bad : {kNaN, std::numeric_limits<float>::infinity()}) {
    const std::vector<float> before = weights;
    std::vector<float> gradients = Noise(11);
    gradients[70'000] = bad;
    Step(optimizer.get(), gradients, &weights);
    for (int64_t i = 0; i < 900'000; ++i) ASSERT_EQ(weights[i], before[i]) << "its part";
    EXPECT_EQ(optimizer->TakeSkipped(), 1u);
  }
  Step(optimizer.get(), Noise(12), &weights);
  EXPECT_EQ(optimizer->TakeSkipped(), 0u);
  for (const float weight : weights) ASSERT_TRUE(std::isfinite(weight));
}

TEST_P(TensorOptimizerTest, ALossThatIsNotFiniteLeavesTheWholeStepOut) {
  std::vector<float> weights = Noise(1);
  const auto optimizer = OnTensors(&weights);
  Step(optimizer.get(), Noise(10), &weights);
  const std::vector<float> before = weights;
  const float bad = kNaN, good = 1;
  const std::vector<float> gradients = Noise(11);
  optimizer->Begin(/*skip=*/false, &bad);
  EXPECT_EQ(optimizer->Step(0, gradients, absl::MakeSpan(weights), Along::kDifference), 0u);
  optimizer->Begin(/*skip=*/true, nullptr);
  EXPECT_EQ(optimizer->Step(0, gradients, absl::MakeSpan(weights), Along::kDifference), 0u);
  EXPECT_EQ(weights, before);
  EXPECT_EQ(optimizer->TakeSkipped(), 2u);
  optimizer->Begin(/*skip=*/false, &good);
  EXPECT_EQ(optimizer->Step(0, gradients, absl::MakeSpan(weights), Along::kDifference), 0u);
  EXPECT_NE(weights, before);
  EXPECT_EQ(optimizer->TakeSkipped(), 0u);
}

TEST_P(TensorOptimizerTest, WeightsBecomeThePublishedOnes) {
  std::vector<float> weights = Noise(1);
  const auto optimizer = OnTensors(&weights);
  Step(optimizer.get(), Noise(10), &weights);
  const std::vector<float> published = Noise(2);
  ASSERT_TRUE(optimizer->SetReplica(published).ok());
  ASSERT_TRUE(optimizer->TakePublished(absl::MakeSpan(weights)).ok());
  EXPECT_EQ(weights, published);
}

INSTANTIATE_TEST_SUITE_P(Kinds, TensorOptimizerTest, ::testing::ValuesIn(Settings()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace cddp
