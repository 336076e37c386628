#include "common/codec/value_codec.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/half.h"
#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/codec/simd_targets.h"

namespace cddp {
namespace {

std::vector<float> Sent(ValueEncoding encoding, std::vector<float> values) {
  std::vector<uint8_t> part(EncodedValueBytes(encoding, values.size()));
  EncodeValues(encoding, absl::MakeSpan(values), part.data());
  EXPECT_TRUE(ValidateValues(encoding, part.data(), values.size()).ok()) << Name(encoding);
  return values;
}

// `value` to the nearest float of `mantissa` explicit bits and least exponent `least`, ties to even, below `largest`.
float Reference(float value, int mantissa, int least, double largest) {
  if (value == 0) return value;
  const int exponent = std::max(std::ilogb(value), least);
  const double place = std::ldexp(1.0, exponent - mantissa);
  return static_cast<float>(std::clamp(std::nearbyint(value / place) * place, -largest, largest));
}

// All 16-bit patterns, the float halfway to the next one, and its neighbours.
std::vector<float> FloatsAroundHalves() {
  std::vector<float> floats;
  for (uint32_t code = 0; code < 0x7c00; ++code) {
    const float value = std::ldexp(static_cast<float>(code < 1024 ? code : 1024 + code % 1024),
                                   static_cast<int>(std::max(code / 1024, 1u)) - 25);
    const float next = std::ldexp(static_cast<float>(code + 1 < 1024 ? code + 1 : 1024 + (code + 1) % 1024),
                                  static_cast<int>(std::max((code + 1) / 1024, 1u)) - 25);
    const float half_way = value + (next - value) / 2;
    for (float f : {value, half_way, std::nextafter(half_way, 0.0f), std::nextafter(half_way, 1e9f)}) {
      floats.push_back(f);
      floats.push_back(-f);
    }
  }
  return floats;
}

TEST(HalfTest, RoundsToNearestEvenAndSaturates) {
  const std::vector<float> floats = FloatsAroundHalves();
  ForEachSimdTarget([&floats] {
    const std::vector<float> sent = Sent(ValueEncoding::kFp16, floats);
    for (size_t i = 0; i < floats.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(sent[i]), std::bit_cast<uint32_t>(Reference(floats[i], 10, -14, 65504)))
          << floats[i];
    }
    EXPECT_EQ(Sent(ValueEncoding::kFp16, {65519, 65520, -1e30f, FLT_MAX, 1e-30f, -0.0f}),
              (std::vector<float>{65504, 65504, -65504, 65504, 0, -0.0f}));
  });
}

TEST(Bf16Test, RoundsToNearestEvenAndSaturates) {
  const std::vector<float> floats = RandomValues(100000, true, 1);
  const double largest = std::bit_cast<float>(0x7f7f0000u);
  ForEachSimdTarget([&floats, largest] {
    const std::vector<float> sent = Sent(ValueEncoding::kBf16, floats);
    for (size_t i = 0; i < floats.size(); ++i) {
      ASSERT_EQ(sent[i], Reference(floats[i], 7, -126, largest)) << floats[i];
      ASSERT_EQ(sent[i], Bf16ToFloat(FloatToBf16(floats[i])));
    }
    EXPECT_EQ(Sent(ValueEncoding::kBf16, {FLT_MAX, -FLT_MAX}),
              (std::vector<float>{static_cast<float>(largest), static_cast<float>(-largest)}));
  });
}

TEST(BlockScaledTest, ErrorIsAtMostHalfAStep) {
  for (auto [encoding, levels] : {std::pair(ValueEncoding::kInt8, 127), std::pair(ValueEncoding::kInt4, 7)}) {
    for (size_t count : {1u, 2u, 255u, 256u, 257u, 1000u}) {
      const std::vector<float> values = RandomValues(count, false, static_cast<uint32_t>(count));
      const std::vector<float> sent = Sent(encoding, values);
      for (size_t i = 0; i < count; ++i) {
        const size_t block = i / 256 * 256;
        float least = FLT_MAX, greatest = 0;
        for (size_t j = block; j < std::min(count, block + 256); ++j) {
          least = std::min(least, std::fabs(values[j]));
          greatest = std::max(greatest, std::fabs(values[j]));
        }
        // A bfloat16 band is a little wider below and may end a little early.
        const float step = (greatest * (1 + 1 / 256.0f) - least * (1 - 1 / 128.0f)) / static_cast<float>(levels);
        EXPECT_LE(std::fabs(values[i] - sent[i]), step / 2 + greatest / 500) << Name(encoding) << " of " << count;
      }
    }
  }
}

TEST(BlockScaledTest, TernaryIsSignTimesMeanMagnitude) {
  EXPECT_EQ(Sent(ValueEncoding::kTernary, {1, -2, 3, -6}), (std::vector<float>{3, -3, 3, -3}));
}

TEST(BlockScaledTest, Int2HasTheMeansOfSmallAndLargeMagnitudes) {
  EXPECT_EQ(Sent(ValueEncoding::kInt2, {1, -3, 8, -16}), (std::vector<float>{2, -2, 12, -12}));
}

// The order of the sum is part of the format. Halving loses two of the 64 ones, index order would lose all.
TEST(BlockScaledTest, SumIsMadeByHalving) {
  std::vector<float> values(256, 0);
  values[0] = 16777216;
  for (size_t i = 1; i <= 64; ++i) values[i] = 1;
  ForEachSimdTarget(
      [&values] { EXPECT_EQ(std::fabs(Sent(ValueEncoding::kTernary, values)[5]), (16777216 + 62) / 256.0f); });
}

TEST(BlockScaledTest, ExtremesStayFinite) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const std::vector<std::vector<float>> cases = {{0, -0.0f, 0},
                                                 {FLT_MAX, -FLT_MAX},
                                                 {FLT_MAX, kTiny},
                                                 {kTiny, -kTiny, 0},
                                                 {FLT_MIN, FLT_MIN / 2},
                                                 std::vector<float>(256, FLT_MAX),
                                                 std::vector<float>(300, -kTiny)};
  for (const std::vector<float>& values : cases) {
    for (ValueEncoding encoding : kAllValueEncodings) {
      ForEachSimdTarget([&] {
        const std::vector<float> sent = Sent(encoding, values);
        for (size_t i = 0; i < values.size(); ++i) {
          EXPECT_TRUE(std::isfinite(sent[i])) << Name(encoding);
          EXPECT_TRUE(std::isfinite(values[i] - sent[i])) << Name(encoding);
        }
      });
    }
  }
}

TEST(BlockScaledTest, ABandWithoutWidthHasOnlyTheLowestLevel) {
  for (ValueEncoding encoding : {ValueEncoding::kInt8, ValueEncoding::kInt4}) {
    std::vector<float> values = {1.001f};  // both ends of the band round to 1
    std::vector<uint8_t> part(EncodedValueBytes(encoding, 1));
    EncodeValues(encoding, absl::MakeSpan(values), part.data());
    EXPECT_EQ(part, (std::vector<uint8_t>{0x80, 0x3f, 0x80, 0x3f, 0}));
    EXPECT_EQ(values[0], 1);
  }
}

TEST(BlockScaledTest, PaddingMustBeZero) {
  for (ValueEncoding encoding : {ValueEncoding::kInt4, ValueEncoding::kInt2, ValueEncoding::kTernary}) {
    std::vector<float> values = {1, -2, 3};
    std::vector<uint8_t> part(EncodedValueBytes(encoding, 3));
    EncodeValues(encoding, absl::MakeSpan(values), part.data());
    ASSERT_TRUE(ValidateValues(encoding, part.data(), 3).ok());
    part.back() |= 0x80;
    EXPECT_FALSE(ValidateValues(encoding, part.data(), 3).ok()) << Name(encoding);
  }
}

// What top-k leaves has no small magnitudes, and the codes make use of it.
TEST(BlockScaledTest, RelativeErrorOnTheLargestPercent) {
  std::vector<float> values = RandomValues(1000000, false, 7);
  std::erase_if(values, [](float value) { return std::fabs(value) < 2.5758f; });
  const auto relative_error = [&values](ValueEncoding encoding) {
    const std::vector<float> sent = Sent(encoding, values);
    double error = 0, total = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      error += (values[i] - sent[i]) * (values[i] - sent[i]);
      total += values[i] * values[i];
    }
    return std::sqrt(error / total);
  };
  EXPECT_LT(relative_error(ValueEncoding::kFp16), 0.0003);
  EXPECT_LT(relative_error(ValueEncoding::kBf16), 0.002);
  EXPECT_LT(relative_error(ValueEncoding::kInt8), 0.003);
  EXPECT_LT(relative_error(ValueEncoding::kInt4), 0.03);
  EXPECT_LT(relative_error(ValueEncoding::kInt2), 0.07);
  EXPECT_LT(relative_error(ValueEncoding::kTernary), 0.12);
}

TEST(ValueCodecTest, DecodesFromAnyBlock) {
  for (ValueEncoding encoding : kAllValueEncodings) {
    std::vector<float> values = RandomValues(1000, false, 8);
    std::vector<uint8_t> part(EncodedValueBytes(encoding, values.size()));
    EncodeValues(encoding, absl::MakeSpan(values), part.data());
    for (size_t first : {0u, 256u, 768u}) {
      std::vector<float> decoded(std::min<size_t>(300, 1000 - first));
      DecodeValues(encoding, part.data(), 1000, first, absl::MakeSpan(decoded));
      EXPECT_TRUE(std::equal(decoded.begin(), decoded.end(), values.begin() + first)) << Name(encoding);
    }
  }
}

}  // namespace
}  // namespace cddp
