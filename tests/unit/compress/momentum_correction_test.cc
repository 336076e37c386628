#include "common/compress/momentum_correction.h"

#include <cfloat>
#include <cmath>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "common/compress/bucket_compressor.h"
#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/codec/simd_targets.h"

namespace cddp {
namespace {

TEST(MomentumCorrectionTest, VelocityFollowsTheRecurrenceAndIsForgottenWhereSent) {
  constexpr uint32_t kLength = 1003;
  CompressorOptions options;
  options.ratio = 0.05;
  auto compressor = *BucketCompressor::Create(kLength, options);
  MomentumCorrection correction(kLength, 0.9f);
  std::vector<float> residual(kLength), expected(kLength);
  for (uint32_t step = 0; step < 10; ++step) {
    const std::vector<float> gradient = RandomValues(kLength, false, step);
    for (uint32_t i = 0; i < kLength; ++i) expected[i] = 0.9f * expected[i] + 0.5f * gradient[i];
    const absl::StatusOr<absl::Span<const float>> velocity = correction.Accumulate(gradient, 0.5f);
    ASSERT_TRUE(velocity.ok());
    ASSERT_EQ(*velocity, absl::MakeConstSpan(expected));
    std::string update;
    ASSERT_TRUE(compressor->Compress(*velocity, absl::MakeSpan(residual), &update).ok());
    ASSERT_TRUE(correction.ClearSent(update).ok());
    const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, kLength);
    ASSERT_TRUE(sent.ok());
    for (uint32_t index : sent->indices) expected[index] = 0;
    ASSERT_EQ(absl::MakeConstSpan(correction.velocity()), absl::MakeConstSpan(expected));
  }
}

TEST(MomentumCorrectionTest, RefusesNonFiniteInputAndSaturates) {
  MomentumCorrection correction(2, 0.5f);
  ASSERT_TRUE(correction.Accumulate({FLT_MAX, 1}, 1).ok());
  for (float bad : {HUGE_VALF, std::nanf("")}) {
    EXPECT_EQ(correction.Accumulate({1, bad}, 1).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(correction.Accumulate({1, 1}, bad).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(correction.Accumulate({1}, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(correction.velocity()[0], FLT_MAX);
  ASSERT_TRUE(correction.Accumulate({FLT_MAX, 1}, 1).ok());
  EXPECT_EQ(correction.velocity()[0], FLT_MAX);
  EXPECT_EQ(correction.velocity()[1], 1.5f);
}

TEST(MomentumCorrectionTest, SumsAreTheSameOnEverySimdTarget) {
  const std::vector<float> values = RandomValues(100003, false, 1);
  const double expected = SumOfSquares(values);
  EXPECT_NEAR(expected, 100003, 3000);
  ForEachSimdTarget([&] { EXPECT_EQ(SumOfSquares(values), expected); });
}

TEST(ClipScaleTest, LimitsTheNormOfTheSum) {
  EXPECT_EQ(ClipScale(4, 10, 1), 1);
  EXPECT_EQ(ClipScale(100, 5, 1), 0.5f);
  EXPECT_EQ(ClipScale(100, 10, 4), 0.5f);
  EXPECT_EQ(ClipScale(0, 10, 4), 1);
}

}  // namespace
}  // namespace cddp
