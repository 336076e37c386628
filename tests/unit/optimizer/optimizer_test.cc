#include "common/optimizer/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace cddp {
namespace {

using ::testing::HasSubstr;

OptimizerOptions Sgd(double momentum, bool nesterov, double weight_decay) {
  OptimizerOptions options;
  options.lr.base = 0.1;
  options.momentum = momentum;
  options.nesterov = nesterov;
  options.weight_decay = weight_decay;
  return options;
}

OptimizerOptions Adam(OptimizerKind kind, double weight_decay) {
  OptimizerOptions options;
  options.kind = kind;
  options.lr.base = 0.01;
  options.weight_decay = weight_decay;
  return options;
}

// The documented algorithms in double precision, one element.
class Reference {
 public:
  explicit Reference(const OptimizerOptions& options) : options_(options) {}

  double Change(double gradient, double weight) {
    ++t_;
    const double lr = LearningRate(options_.lr, t_ - 1);
    if (options_.kind != OptimizerKind::kAdamW) gradient += options_.weight_decay * weight;
    if (options_.kind == OptimizerKind::kSgd) {
      if (options_.momentum == 0) return -lr * gradient;
      m_ = t_ == 1 ? gradient : options_.momentum * m_ + gradient;
      return -lr * (options_.nesterov ? gradient + options_.momentum * m_ : m_);
    }
    m_ = options_.beta1 * m_ + (1 - options_.beta1) * gradient;
    v_ = options_.beta2 * v_ + (1 - options_.beta2) * gradient * gradient;
    const double m = m_ / (1 - std::pow(options_.beta1, t_));
    const double v = v_ / (1 - std::pow(options_.beta2, t_));
    const double decay = options_.kind == OptimizerKind::kAdamW ? lr * options_.weight_decay * weight : 0;
    return -lr * m / (std::sqrt(v) + options_.epsilon) - decay;
  }

 private:
  const OptimizerOptions options_;
  uint64_t t_ = 0;
  double m_ = 0;
  double v_ = 0;
};

class OptimizerTest : public ::testing::TestWithParam<OptimizerOptions> {};

TEST_P(OptimizerTest, FollowsTheDocumentedAlgorithmWithinFloatRounding) {
  constexpr int kLength = 33;
  const std::unique_ptr<Optimizer> optimizer = Optimizer::Create(GetParam(), kLength);
  std::vector<Reference> reference(kLength, Reference(GetParam()));
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
    optimizer->Step(absl::MakeSpan(gradient), published, residual);
    for (int i = 0; i < kLength; ++i) {
      ASSERT_NEAR(gradient[i], expected[i], 1e-5 * (0.01 + std::abs(expected[i]))) << "step " << step;
      residual[i] += gradient[i];
      weights[i] += expected[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimizerTest,
                         ::testing::Values(Sgd(0, false, 0), Sgd(0, false, 0.01), Sgd(0.9, false, 0), Sgd(0.9, true, 0),
                                           Sgd(0.9, true, 0.001), Adam(OptimizerKind::kAdam, 0),
                                           Adam(OptimizerKind::kAdam, 0.01), Adam(OptimizerKind::kAdamW, 0.01)));

TEST(OptimizerOptionsTest, RefusesWhatMakesNoSenseAndNamesTheFlag) {
  EXPECT_TRUE(Validate(OptimizerOptions{}).ok());
  EXPECT_THAT(Validate(Sgd(1, false, 0)).message(), HasSubstr("--momentum=1"));
  EXPECT_FALSE(Validate(Sgd(-0.1, false, 0)).ok());
  EXPECT_FALSE(Validate(Sgd(std::nan(""), false, 0)).ok());
  EXPECT_THAT(Validate(Sgd(0, true, 0)).message(), HasSubstr("--nesterov"));
  EXPECT_THAT(Validate(Sgd(0.9, false, -1)).message(), HasSubstr("--weight_decay"));
  OptimizerOptions adam = Adam(OptimizerKind::kAdam, 0);
  adam.beta2 = 1;
  EXPECT_THAT(Validate(adam).message(), HasSubstr("--beta2=1"));
  adam = Adam(OptimizerKind::kAdam, 0);
  adam.epsilon = 0;
  EXPECT_THAT(Validate(adam).message(), HasSubstr("--epsilon"));
  adam.lr.base = 0;
  EXPECT_THAT(Validate(adam).message(), HasSubstr("--lr=0"));
}

TEST(LearningRateTest, SchedulesFollowTheirShapes) {
  LearningRateOptions options;
  options.base = 1;
  EXPECT_EQ(LearningRate(options, 0), 1);
  EXPECT_EQ(LearningRate(options, 1000000), 1);

  options.warmup_steps = 4;
  EXPECT_EQ(LearningRate(options, 0), 0.25);
  EXPECT_EQ(LearningRate(options, 3), 1);
  EXPECT_EQ(LearningRate(options, 4), 1);

  options.schedule = LearningRateSchedule::kStep;
  options.decay_steps = 10;
  options.decay_factor = 0.5;
  EXPECT_EQ(LearningRate(options, 13), 1);
  EXPECT_EQ(LearningRate(options, 14), 0.5);
  EXPECT_EQ(LearningRate(options, 24), 0.25);

  options.schedule = LearningRateSchedule::kCosine;
  EXPECT_NEAR(LearningRate(options, 4), 1, 1e-12);
  EXPECT_NEAR(LearningRate(options, 9), 0.75, 1e-12);
  EXPECT_NEAR(LearningRate(options, 14), 0.5, 1e-12);
  EXPECT_NEAR(LearningRate(options, 1000), 0.5, 1e-12);
}

TEST(LearningRateTest, RefusesWhatMakesNoSense) {
  LearningRateOptions options;
  options.schedule = LearningRateSchedule::kCosine;
  EXPECT_THAT(Validate(options).message(), HasSubstr("--lr_decay_steps"));
  options.decay_steps = 5;
  EXPECT_TRUE(Validate(options).ok());
  options.decay_factor = 2;
  EXPECT_THAT(Validate(options).message(), HasSubstr("--lr_decay_factor"));
}

}  // namespace
}  // namespace cddp
