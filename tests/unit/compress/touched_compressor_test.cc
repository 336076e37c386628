#include "common/compress/touched_compressor.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/compress/reference.h"

namespace cddp {
namespace {

// Several pieces, the last of them short.
constexpr uint32_t kLength = 2 * BucketCompressor::kInputPiece + 777;

// A sum of which about `density` is not zero.
std::vector<float> SumOf(double density, uint32_t seed) {
  std::vector<float> sum(kLength);
  const std::vector<float> values = RandomValues(kLength, false, seed);
  for (uint32_t index : RandomIndices(kLength, density, false, seed)) sum[index] = values[index];
  return sum;
}

// Compresses sum times -2, or -2 sum + offset.
CompressResult Compress(TouchedCompressor& compressor, const std::vector<float>& sum, std::vector<float>* residual,
                        std::string* update, float offset = 0) {
  std::vector<float> piece;
  const absl::StatusOr<CompressResult> result = compressor.Compress(
      [&](uint32_t begin, uint32_t end) {
        piece.assign(sum.begin() + begin, sum.begin() + end);
        return absl::MakeSpan(piece);
      },
      [&](uint32_t, absl::Span<float> elements) {
        for (float& element : elements) element = -2 * element + offset;
      },
      absl::MakeSpan(*residual), update);
  EXPECT_TRUE(result.ok()) << result.status();
  return *result;
}

CompressorOptions Options(ValueEncoding values = ValueEncoding::kInt4) {
  CompressorOptions options;
  options.value_encoding = values;
  options.always_sent = {{0, 30}, {BucketCompressor::kInputPiece - 7, BucketCompressor::kInputPiece + 40}};
  return options;
}

bool IsAlwaysSent(uint32_t index) {
  return index < 30 || (index >= BucketCompressor::kInputPiece - 7 && index < BucketCompressor::kInputPiece + 40);
}

TEST(TouchedCompressorTest, SendsWhatWasTouchedAndKeepsOnlyRounding) {
  for (const double density : {0.001, 0.05, 0.3}) {
    const auto compressor = *TouchedCompressor::Create(kLength, TouchedChoice::kTheTouched, Options());
    std::vector<float> residual(kLength);
    std::string update;
    for (uint32_t step = 0; step < 3; ++step) {
      const std::vector<float> sum = SumOf(density, step);
      const std::vector<float> before = residual;
      Compress(*compressor, sum, &residual, &update);
      const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, kLength);
      ASSERT_TRUE(sent.ok()) << sent.status();
      std::vector<uint32_t> expected;
      for (uint32_t i = 0; i < kLength; ++i) {
        if (sum[i] != 0 || IsAlwaysSent(i)) {
          expected.push_back(i);
        } else {
          ASSERT_EQ(residual[i], before[i]);
        }
      }
      ASSERT_EQ(sent->indices, expected);
      for (size_t i = 0; i < expected.size(); ++i) {
        const uint32_t at = expected[i];
        ASSERT_EQ(residual[at], (before[at] - 2 * sum[at]) - sent->values[i]);
      }
    }
  }
}

TEST(TouchedCompressorTest, ChoosesTheSmallestFormByTheirNumber) {
  const auto compressor = *TouchedCompressor::Create(kLength, TouchedChoice::kTheTouched, Options());
  std::vector<float> residual(kLength);
  std::string update;
  const auto form = [&](double density) {
    Compress(*compressor, SumOf(density, 1), &residual, &update);
    return ValidateUpdate(update, kLength)->index_encoding;
  };
  EXPECT_EQ(form(0.05), IndexEncoding::kGap8);
  EXPECT_EQ(form(0.2), IndexEncoding::kBitmap);
  EXPECT_EQ(form(0.9), IndexEncoding::kDense);
  EXPECT_EQ(form(0), IndexEncoding::kGap8);
  EXPECT_EQ(ValidateUpdate(update, kLength)->count, 30u + 47u) << "always_sent";
}

TEST(TouchedCompressorTest, TheLargestAreAsManyAsWereTouched) {
  CompressorOptions options = Options(ValueEncoding::kFp32);
  const auto compressor = *TouchedCompressor::Create(kLength, TouchedChoice::kLargest, options);
  std::vector<float> residual = RandomValues(kLength, false, 99);
  std::string update;
  for (const double density : {0.05, 0.001, 0.1, 0.0, 0.02}) {
    const std::vector<float> sum = SumOf(density, 3);
    std::vector<float> compensated = residual;
    uint32_t touched = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; i < kLength; ++i) {
      compensated[i] += -2 * sum[i] + 0.001f;
      touched += sum[i] != 0 && !IsAlwaysSent(i) ? 1 : 0;
      others += IsAlwaysSent(i) ? 0 : 1;
    }
    Compress(*compressor, sum, &residual, &update, 0.001f);
    const absl::StatusOr<DecodedUpdate> sent = DecodeUpdate(update, kLength);
    ASSERT_TRUE(sent.ok()) << sent.status();
    std::vector<uint32_t> expected;
    if (touched == 0) {
      for (uint32_t i = 0; i < kLength; ++i) {
        if (IsAlwaysSent(i)) expected.push_back(i);
      }
    } else {
      options.ratio = static_cast<double>(touched) / others;
      expected = ReferenceTopK(compensated, options);
    }
    EXPECT_EQ(sent->indices, expected) << density;
    for (uint32_t index : expected) compensated[index] = 0;
    EXPECT_EQ(residual, compensated);
  }
}

TEST(TouchedCompressorTest, NothingIsCarriedFromCallToCall) {
  for (const TouchedChoice choice : {TouchedChoice::kTheTouched, TouchedChoice::kLargest}) {
    const auto used = *TouchedCompressor::Create(kLength, choice, Options());
    std::vector<float> residual(kLength);
    std::string update, expected;
    for (const double density : {0.1, 0.003, 0.5, 0.02}) {
      std::vector<float> other = residual;
      Compress(*used, SumOf(density, 5), &residual, &update, 0.01f);
      const auto fresh = *TouchedCompressor::Create(kLength, choice, Options());
      Compress(*fresh, SumOf(density, 5), &other, &expected, 0.01f);
      EXPECT_EQ(update, expected);
      EXPECT_EQ(residual, other);
    }
  }
}

TEST(TouchedCompressorTest, BadInputIsAnErrorAndOverflowIsTheLargestFloat) {
  CompressorOptions exact;
  exact.value_encoding = ValueEncoding::kFp32;
  for (const TouchedChoice choice : {TouchedChoice::kTheTouched, TouchedChoice::kLargest}) {
    const auto compressor = *TouchedCompressor::Create(4, choice, exact);
    std::vector<float> sum = {std::numeric_limits<float>::infinity(), 0, 0, 0};
    std::vector<float> residual(4);
    std::string update;
    const auto source = [&](uint32_t, uint32_t) { return absl::MakeSpan(sum); };
    const auto change = [](uint32_t, absl::Span<float>) {};
    EXPECT_EQ(compressor->Compress(source, change, absl::MakeSpan(residual), &update).status().code(),
              absl::StatusCode::kFailedPrecondition);
    sum = {3e38f, 0, 0, 0};
    residual = {3e38f, 0, 0, 0};
    ASSERT_TRUE(compressor->Compress(source, change, absl::MakeSpan(residual), &update).ok());
    EXPECT_THAT(DecodeUpdate(update, 4)->values, ::testing::Each(std::numeric_limits<float>::max()));
    EXPECT_EQ(compressor->Compress(source, change, absl::MakeSpan(residual).first(3), &update).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  CompressorOptions options;
  options.always_sent = {{3, 9}};
  EXPECT_FALSE(TouchedCompressor::Create(4, TouchedChoice::kTheTouched, options).ok());
}

}  // namespace
}  // namespace cddp
