#include "server/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace cddp {
namespace {

// LibTorch's documented algorithm in double precision, element by element.
struct Reference {
  SgdOptions options;
  double momentum = 0;
  bool first = true;

  double Change(double gradient, double weight) {
    gradient += options.weight_decay * weight;
    if (options.momentum == 0) return -options.lr * gradient;
    momentum = first ? gradient : options.momentum * momentum + gradient;
    first = false;
    return -options.lr * (options.nesterov ? gradient + options.momentum * momentum : momentum);
  }
};

class OptimizerTest : public ::testing::TestWithParam<SgdOptions> {};

TEST_P(OptimizerTest, FollowsTheReferenceWithinFloatRounding) {
  constexpr int kLength = 33;
  SgdOptimizer optimizer(GetParam(), kLength);
  std::vector<Reference> reference(kLength, Reference{GetParam()});
  std::vector<float> published(kLength);
  std::vector<float> residual(kLength);
  std::vector<double> weights(kLength);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int i = 0; i < kLength; ++i) {
    published[i] = normal(random);
    residual[i] = 0.1f * normal(random);
    weights[i] = double{published[i]} + double{residual[i]};
  }
  for (int step = 0; step < 50; ++step) {
    std::vector<float> gradient(kLength);
    for (float& g : gradient) g = normal(random);
    std::vector<double> expected(kLength);
    for (int i = 0; i < kLength; ++i) expected[i] = reference[i].Change(gradient[i], weights[i]);
    optimizer.Step(absl::MakeSpan(gradient), published, residual);
    for (int i = 0; i < kLength; ++i) {
      ASSERT_NEAR(gradient[i], expected[i], 1e-5 * (1 + std::abs(expected[i]))) << "step " << step;
      residual[i] += gradient[i];
      weights[i] += expected[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerTest,
                         ::testing::Values(SgdOptions{0.1, 0, false, 0}, SgdOptions{0.1, 0, false, 0.01},
                                           SgdOptions{0.1, 0.9, false, 0}, SgdOptions{0.1, 0.9, true, 0},
                                           SgdOptions{0.05, 0.9, true, 0.001}));

TEST(OptimizerOptionsTest, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(Validate(SgdOptions{}).ok());
  EXPECT_FALSE(Validate(SgdOptions{0}).ok());
  EXPECT_FALSE(Validate(SgdOptions{std::nan("")}).ok());
  EXPECT_FALSE(Validate(SgdOptions{0.1, 1.0}).ok());
  EXPECT_FALSE(Validate(SgdOptions{0.1, -0.1}).ok());
  EXPECT_FALSE(Validate(SgdOptions{0.1, 0, true}).ok());
  EXPECT_FALSE(Validate(SgdOptions{0.1, 0.9, false, -1}).ok());
}

}  // namespace
}  // namespace cddp
