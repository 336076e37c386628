#include "deploy/ctl/trained_steps.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/layout/agreed_tensor.h"

namespace cddp::ctl {
namespace {

ParameterLayout Layout(std::vector<TensorSpec> tensors) { return *ParameterLayout::Create(std::move(tensors), 4); }

const std::vector<float> kWeights(8, 0);

TEST(TrainedStepsTest, EveryExchangeHasItsLocalSteps) {
  const ParameterLayout layout = Layout({{"a", {4}}});
  EXPECT_EQ(TrainedSteps("", layout, kWeights, 0), 0u);
  EXPECT_EQ(TrainedSteps("", layout, kWeights, 1), 0u) << "the initial weights";
  EXPECT_EQ(TrainedSteps("--seed=42", layout, kWeights, 11), 10u);
  EXPECT_EQ(TrainedSteps("push=weights --local_steps=4", layout, kWeights, 11), 40u);
}

TEST(TrainedStepsTest, AnEpochsLastRoundMayBeShorter) {
  const ParameterLayout layout = Layout({{"a", {4}}});
  const char* agreement = "--workers=2 --train_examples=650 --batch_size=16 --local_steps=8";  // 20 steps: 8, 8, 4
  const uint64_t steps[] = {0, 0, 8, 16, 20, 28, 36, 40, 48};
  for (uint64_t version = 0; version < std::size(steps); ++version) {
    EXPECT_EQ(TrainedSteps(agreement, layout, kWeights, version), steps[version]) << version;
  }
}

TEST(TrainedStepsTest, WhereTheWorkersDecideTheWeightsTell) {
  const ParameterLayout layout = Layout({{"a", {4}}, {std::string(kAgreedTensor), {3}, TensorKind::kBuffer}});
  std::vector<float> weights(layout.total_elements(), 0);
  weights[layout.tensor_range(1).begin] = 123;
  EXPECT_EQ(TrainedSteps("--local_steps=auto", layout, weights, 11), 123u);
  weights[layout.tensor_range(1).begin] = INFINITY;
  EXPECT_EQ(TrainedSteps("--local_steps=auto", layout, weights, 11), kMostAgreedPosition);
}

}  // namespace
}  // namespace cddp::ctl
