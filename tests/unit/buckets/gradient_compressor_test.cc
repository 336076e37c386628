#include "worker/buckets/gradient_compressor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

ParameterLayout Layout() { return *ParameterLayout::Create({{"w", {1500}}}, 512); }

GradientCompressorOptions Options(double ratio) {
  GradientCompressorOptions options;
  options.compressor.ratio = ratio;
  options.compressor.value_encoding = ValueEncoding::kFp32;
  return options;
}

std::vector<float> Noise(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(1500);
  for (float& value : values) value = normal(random);
  return values;
}

// One step of all buckets, all accepted; what was sent, added up.
std::vector<float> Step(GradientCompressor& compressor, uint64_t step, const std::vector<float>& gradient) {
  const ParameterLayout layout = Layout();
  std::vector<float> sent(gradient.size());
  compressor.BeginStep(step, gradient);
  for (uint32_t bucket = layout.bucket_count(); bucket-- > 0;) {
    const ElementRange range = layout.bucket_range(bucket);
    std::string update;
    const absl::Span<const float> part = absl::MakeConstSpan(gradient).subspan(range.begin, range.size());
    EXPECT_TRUE(compressor.Compress(bucket, part, &update).ok());
    EXPECT_TRUE(AddUpdate(update, absl::MakeSpan(sent).subspan(range.begin, range.size())).ok());
    compressor.Accepted(bucket, update);
  }
  return sent;
}

size_t NonZeros(const std::vector<float>& values) {
  return values.size() - static_cast<size_t>(std::count(values.begin(), values.end(), 0.0f));
}

TEST(GradientCompressorTest, TheRatioFallsByPowersOfFourInTheWarmUp) {
  GradientCompressorOptions options = Options(0.01);
  options.ratio_warmup_steps = 8;
  const auto compressor = *GradientCompressor::Create(Layout(), options, 4);
  std::vector<double> ratios;
  for (uint64_t step = 1; step <= 9; ++step) {
    ratios.push_back(RatioOfStep(options, step));
    EXPECT_NEAR(static_cast<double>(NonZeros(Step(*compressor, step, Noise(step)))), ratios.back() * 1500, 3);
  }
  EXPECT_EQ(ratios, (std::vector<double>{0.25, 0.25, 0.0625, 0.0625, 0.015625, 0.015625, 0.01, 0.01, 0.01}));
}

TEST(GradientCompressorTest, TheNormOfTheWholeGradientIsClipped) {
  GradientCompressorOptions options = Options(1);
  options.clip_norm = 2;
  const auto compressor = *GradientCompressor::Create(Layout(), options, 4);
  EXPECT_TRUE(compressor->needs_whole_gradient());
  const std::vector<float> sent = Step(*compressor, 1, Noise(1));
  double norm_sq = 0;
  for (float value : sent) norm_sq += double{value} * value;
  EXPECT_NEAR(std::sqrt(norm_sq), 2 / std::sqrt(4.0), 1e-5);
  std::vector<float> small(1500, 1e-3f);
  EXPECT_EQ(Step(*compressor, 2, small), small);
}

TEST(GradientCompressorTest, TheVelocityGoesOnUntilItIsSent) {
  GradientCompressorOptions options = Options(1.0 / 512);  // one element a bucket
  options.momentum_correction = 0.5;
  const auto compressor = *GradientCompressor::Create(Layout(), options, 1);
  std::vector<float> gradient(1500);
  gradient[3] = 8;
  gradient[4] = 1;
  EXPECT_EQ(Step(*compressor, 1, gradient)[3], 8);
  const std::vector<float> sent = Step(*compressor, 2, std::vector<float>(1500));
  EXPECT_EQ(sent[3], 0) << "sent: its velocity is forgotten";
  EXPECT_EQ(sent[4], 1.5f) << "1 of the step before, and half of it again";
}

TEST(GradientCompressorTest, ARefusedStepGoesBackIntoTheResidual) {
  for (double momentum : {0.0, 0.9}) {
    GradientCompressorOptions options = Options(0.1);
    options.momentum_correction = momentum;
    const auto compressor = *GradientCompressor::Create(Layout(), options, 1);
    const std::vector<float> gradient = Noise(3);
    compressor->BeginStep(1, gradient);
    std::string update;
    ASSERT_TRUE(compressor->Compress(0, absl::MakeConstSpan(gradient).first(512), &update).ok());
    compressor->Refused(0, update);
    for (int i = 0; i < 512; ++i) ASSERT_EQ(compressor->residual()[i], gradient[i]);
  }
}

TEST(GradientCompressorTest, AGradientThatIsNotFiniteChangesNothing) {
  GradientCompressorOptions options = Options(0.1);
  options.momentum_correction = 0.9;
  options.clip_norm = 1;
  const auto compressor = *GradientCompressor::Create(Layout(), options, 1);
  Step(*compressor, 1, Noise(1));
  const BucketEngineState before = compressor->State();
  std::vector<float> gradient = Noise(2);
  gradient[7] = std::numeric_limits<float>::infinity();
  compressor->BeginStep(2, gradient);
  std::string update;
  EXPECT_FALSE(compressor->Compress(0, absl::MakeConstSpan(gradient).first(512), &update).ok());
  EXPECT_EQ(compressor->State(), before);
}

TEST(GradientCompressorTest, ARestoredStateContinuesBitIdentically) {
  GradientCompressorOptions momentum = Options(0.02);
  momentum.momentum_correction = 0.9;
  GradientCompressorOptions threshold = Options(0.02);
  threshold.compressor.selection = Selection::kThreshold;
  GradientCompressorOptions warm_up = threshold;
  warm_up.ratio_warmup_steps = 12;
  for (const GradientCompressorOptions& options : {momentum, threshold, warm_up}) {
    const auto compressor = *GradientCompressor::Create(Layout(), options, 2);
    for (uint64_t step = 1; step < 8; ++step) {
      const auto restored = *GradientCompressor::Create(Layout(), options, 2);
      ASSERT_TRUE(restored->SetState(compressor->State()).ok());
      EXPECT_EQ(Step(*restored, step, Noise(step)), Step(*compressor, step, Noise(step))) << "step " << step;
      EXPECT_EQ(restored->State(), compressor->State());
    }
  }
}

TEST(GradientCompressorTest, AStateOfOtherOptionsIsRefused) {
  GradientCompressorOptions momentum = Options(0.02);
  momentum.momentum_correction = 0.9;
  const auto with = *GradientCompressor::Create(Layout(), momentum, 2);
  const auto without = *GradientCompressor::Create(Layout(), Options(0.02), 2);
  EXPECT_THAT(std::string(without->SetState(with->State()).message()), HasSubstr("--momentum_correction"));
  EXPECT_THAT(std::string(with->SetState(without->State()).message()), HasSubstr("--momentum_correction"));
  BucketEngineState other = without->State();
  other.residual.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(without->SetState(other)));
}

TEST(GradientCompressorTest, RefusesWhatMakesNoSenseAndNamesTheFlag) {
  GradientCompressorOptions options = Options(0);
  EXPECT_THAT(Validate(options).message(), HasSubstr("--ratio=0"));
  options = Options(0.1);
  options.momentum_correction = 1;
  EXPECT_THAT(Validate(options).message(), HasSubstr("--momentum_correction=1"));
  options = Options(0.1);
  options.clip_norm = -1;
  EXPECT_THAT(Validate(options).message(), HasSubstr("--clip_norm=-1"));
  options = Options(0.1);
  options.residual_decay = 1.5;
  EXPECT_THAT(Validate(options).message(), HasSubstr("--residual_decay=1.5"));
}

TEST(GradientCompressorTest, BuffersAreSentWholeInFp32AndNothingOfThemWaits) {
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {500}}, {"mean", {100}, TensorKind::kBuffer}}, 512);
  GradientCompressorOptions options = Options(0.01);
  options.compressor.value_encoding = ValueEncoding::kTernary;
  options.momentum_correction = 0.9;
  options.clip_norm = 1e-3;
  options.residual_decay = 0.5;
  options.ratio_warmup_steps = 8;
  const auto compressor = *GradientCompressor::Create(layout, options, 2);
  std::vector<float> gradient = Noise(1);
  gradient.resize(600);
  const absl::Span<const float> buffers = absl::MakeConstSpan(gradient).subspan(500);
  for (uint64_t step = 1; step <= 3; ++step) {
    compressor->BeginStep(step, gradient);
    std::string update;
    const absl::StatusOr<CompressResult> result = compressor->Compress(1, buffers, &update);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->selected, 100u);
    std::vector<float> sent(100);
    ASSERT_TRUE(AddUpdate(update, absl::MakeSpan(sent)).ok());
    EXPECT_EQ(absl::MakeConstSpan(sent), buffers);
    if (step == 2) {
      compressor->Refused(1, update);
    } else {
      compressor->Accepted(1, update);
    }
  }
  EXPECT_EQ(compressor->residual().size(), 500u);
  EXPECT_EQ(NonZeros({compressor->residual().begin(), compressor->residual().end()}), 0u);
  EXPECT_TRUE(compressor->SetState(compressor->State()).ok());
  gradient[550] = std::numeric_limits<float>::infinity();
  std::string update;
  EXPECT_FALSE(compressor->Compress(1, buffers, &update).ok());
}

}  // namespace
}  // namespace cddp
