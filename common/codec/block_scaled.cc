#include "common/codec/block_scaled.h"

#include <algorithm>
#include <cfloat>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/codec/code_packing.h"
#include "common/codec/half.h"
#include "common/codec/little_endian.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/codec/block_scaled.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

#ifndef CDDP_BLOCK_SCALED_ONCE
#define CDDP_BLOCK_SCALED_ONCE
namespace cddp {

inline constexpr size_t kScaleBytes = 4;

// The meaning of a block's codes: magnitude = lo + level * step.
struct Band {
  float lo = 0;
  float step = 0;
};

inline float MaxLevel(int bits) { return static_cast<float>((1 << (bits - 1)) - 1); }

inline Band ReadBand(int bits, const uint8_t* scale) {
  if (bits == 1) return {LoadLe<float>(scale), 0};
  const float lo = Bf16ToFloat(LoadLe<uint16_t>(scale));
  const float hi = Bf16ToFloat(LoadLe<uint16_t>(scale + 2));
  return {lo, (hi - lo) / MaxLevel(bits)};
}

inline void WriteBand(uint16_t lo, uint16_t hi, uint8_t* scale) {
  StoreLe<uint16_t>(lo, scale);
  StoreLe<uint16_t>(std::max(lo, hi), scale + 2);
}

inline uint16_t Bf16TowardsZero(float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); }

}  // namespace cddp
#endif  // CDDP_BLOCK_SCALED_ONCE

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using WordTag = hn::RebindToSigned<FloatTag>;
using ByteTag = hn::Rebind<uint8_t, FloatTag>;

// The documented sum by halving of kScaleBlock terms, which it overwrites.
HWY_INLINE float SumByHalving(float* HWY_RESTRICT terms) {
  const FloatTag df;
  const size_t lanes = hn::Lanes(df);
  size_t half = kScaleBlock / 2;
  for (; half >= lanes; half /= 2) {
    for (size_t i = 0; i < half; i += lanes) {
      hn::StoreU(hn::Add(hn::LoadU(df, terms + i), hn::LoadU(df, terms + i + half)), df, terms + i);
    }
  }
  for (; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) terms[i] += terms[i + half];
  }
  return terms[0];
}

HWY_INLINE float Mean(float sum, size_t count) {
  return count == 0 ? 0 : std::min(sum / static_cast<float>(count), FLT_MAX);
}

// `block` has kScaleBlock values, zeros after the first `count`.
HWY_INLINE float MeanMagnitude(const float* block, size_t count) {
  const FloatTag df;
  float terms[kScaleBlock];
  for (size_t i = 0; i < kScaleBlock; i += hn::Lanes(df)) hn::StoreU(hn::Abs(hn::LoadU(df, block + i)), df, terms + i);
  return Mean(SumByHalving(terms), count);
}

// Means of the magnitudes below the mean, and of the others.
HWY_INLINE void WriteTwoMeans(const float* block, size_t count, uint8_t* scale) {
  const FloatTag df;
  const float mean = MeanMagnitude(block, count);
  const auto bound = hn::Set(df, mean);
  float below[kScaleBlock], above[kScaleBlock];
  size_t count_above = 0;
  for (size_t i = 0; i < kScaleBlock; i += hn::Lanes(df)) {
    const auto magnitude = hn::Abs(hn::LoadU(df, block + i));
    const auto is_above = hn::Ge(magnitude, bound);
    hn::StoreU(hn::IfThenElseZero(is_above, magnitude), df, above + i);
    hn::StoreU(hn::IfThenZeroElse(is_above, magnitude), df, below + i);
    count_above += hn::CountTrue(df, is_above);
  }
  count_above = std::min(count_above, count);  // a mean of zero counts the padding too
  WriteBand(FloatToBf16(Mean(SumByHalving(below), count - count_above)),
            FloatToBf16(Mean(SumByHalving(above), count_above)), scale);
}

// The least and the greatest magnitude.
HWY_INLINE void WriteRange(const float* block, size_t count, uint8_t* scale) {
  const FloatTag df;
  const WordTag di;
  auto least = hn::Set(df, FLT_MAX);
  auto greatest = hn::Zero(df);
  for (size_t i = 0; i < count; i += hn::Lanes(df)) {
    const auto magnitude = hn::Abs(hn::LoadU(df, block + i));
    const auto is_value = hn::Lt(hn::Iota(di, static_cast<int32_t>(i)), hn::Set(di, static_cast<int32_t>(count)));
    least = hn::Min(least, hn::IfThenElse(hn::RebindMask(df, is_value), magnitude, least));
    greatest = hn::Max(greatest, magnitude);
  }
  WriteBand(Bf16TowardsZero(hn::GetLane(hn::MinOfLanes(df, least))),
            FloatToBf16(hn::GetLane(hn::MaxOfLanes(df, greatest))), scale);
}

// Converts codes (one per lane) to values.
HWY_INLINE hn::Vec<FloatTag> Dequantise(hn::Vec<WordTag> codes, const Band& band, int bits) {
  const FloatTag df;
  const WordTag di;
  const auto level = hn::And(codes, hn::Set(di, (1 << (bits - 1)) - 1));
  const auto sign = hn::ShiftLeft<31>(hn::ShiftRightSame(codes, bits - 1));
  const auto magnitude = hn::Add(hn::Set(df, band.lo), hn::Mul(hn::ConvertTo(df, level), hn::Set(df, band.step)));
  return hn::Or(magnitude, hn::BitCast(df, sign));
}

// Quantises kScaleBlock values to one code per byte, and replaces them by their decoded values.
HWY_INLINE void Quantise(float* HWY_RESTRICT block, const Band& band, int bits, uint8_t* HWY_RESTRICT codes) {
  const FloatTag df;
  const WordTag di;
  const auto lo = hn::Set(df, band.lo);
  const auto inverse = hn::Set(df, band.step >= FLT_MIN ? 1 / band.step : 0);
  const auto max_level = hn::Set(df, MaxLevel(bits));
  const auto sign_code = hn::Set(di, 1 << (bits - 1));
  for (size_t i = 0; i < kScaleBlock; i += hn::Lanes(df)) {
    const auto value = hn::LoadU(df, block + i);
    const auto scaled = hn::Mul(hn::Sub(hn::Abs(value), lo), inverse);
    const auto level = hn::NearestInt(hn::Min(hn::Max(scaled, hn::Zero(df)), max_level));
    const auto is_negative = hn::Lt(hn::BitCast(di, value), hn::Zero(di));
    const auto code = hn::Or(level, hn::IfThenElseZero(is_negative, sign_code));
    hn::StoreU(hn::DemoteTo(ByteTag(), code), ByteTag(), codes + i);
    hn::StoreU(Dequantise(code, band, bits), df, block + i);
  }
}

void EncodeBlock(int bits, float* values, size_t count, uint8_t* scale, uint8_t* packed) {
  float block[kScaleBlock] = {};
  std::memcpy(block, values, count * sizeof(float));
  if (bits == 1) {
    StoreLe<float>(MeanMagnitude(block, count), scale);
  } else if (bits == 2) {
    WriteTwoMeans(block, count, scale);
  } else {
    WriteRange(block, count, scale);
  }
  uint8_t codes[kScaleBlock];
  Quantise(block, ReadBand(bits, scale), bits, codes);
  std::memcpy(values, block, count * sizeof(float));
  std::fill(codes + count, codes + kScaleBlock, uint8_t{0});
  PackCodes(bits, codes, count, packed);
}

void DecodeBlock(int bits, const uint8_t* scale, const uint8_t* packed, size_t count, float* values) {
  const FloatTag df;
  const WordTag di;
  uint8_t codes[kScaleBlock];
  UnpackCodes(bits, packed, count, codes);
  const Band band = ReadBand(bits, scale);
  float block[kScaleBlock];
  float* const to = count == kScaleBlock ? values : block;
  for (size_t i = 0; i < kScaleBlock; i += hn::Lanes(df)) {
    hn::StoreU(Dequantise(hn::PromoteTo(di, hn::LoadU(ByteTag(), codes + i)), band, bits), df, to + i);
  }
  if (to == block) std::memcpy(values, block, count * sizeof(float));
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(EncodeBlock);
HWY_EXPORT(DecodeBlock);

namespace {

size_t BlockCount(size_t count) { return (count + kScaleBlock - 1) / kScaleBlock; }

}  // namespace

size_t BlockScaledBytes(int bits, size_t count) { return BlockCount(count) * kScaleBytes + PackedBytes(bits, count); }

void EncodeBlockScaled(int bits, absl::Span<float> values, uint8_t* part) {
  const size_t blocks = BlockCount(values.size());
  uint8_t* const codes = part + blocks * kScaleBytes;
  for (size_t b = 0; b < blocks; ++b) {
    const absl::Span<float> block = values.subspan(b * kScaleBlock, kScaleBlock);
    HWY_DYNAMIC_DISPATCH(EncodeBlock)
    (bits, block.data(), block.size(), part + b * kScaleBytes, codes + b * PackedBytes(bits, kScaleBlock));
  }
}

absl::Status ValidateBlockScaled(int bits, const uint8_t* part, size_t count) {
  const size_t blocks = BlockCount(count);
  for (size_t b = 0; b < blocks; ++b) {
    const uint8_t* scale = part + b * kScaleBytes;
    // Non-negative floats order as their bits; 0x7f80 begins infinity and NaN, and negative ones come after these.
    bool good;
    if (bits == 1) {
      good = LoadLe<uint32_t>(scale) < 0x7f800000u;
    } else {
      const auto hi = LoadLe<uint16_t>(scale + 2);
      good = hi < 0x7f80u && LoadLe<uint16_t>(scale) <= hi;
    }
    if (!good) return absl::InvalidArgumentError(absl::StrCat("scale of value block ", b, " is not a finite band"));
  }
  const uint8_t* codes = part + blocks * kScaleBytes;
  const size_t used_bits = count * static_cast<size_t>(bits);
  if (used_bits % 8 != 0 && codes[used_bits / 8] >> used_bits % 8 != 0) {
    return absl::InvalidArgumentError("bits after the last value are not zero");
  }
  return absl::OkStatus();
}

void DecodeBlockScaled(int bits, const uint8_t* part, size_t count, size_t first, absl::Span<float> to) {
  const uint8_t* const codes = part + BlockCount(count) * kScaleBytes;
  for (size_t done = 0; done < to.size(); done += kScaleBlock) {
    const absl::Span<float> block = to.subspan(done, kScaleBlock);
    const size_t b = (first + done) / kScaleBlock;
    HWY_DYNAMIC_DISPATCH(DecodeBlock)
    (bits, part + b * kScaleBytes, codes + b * PackedBytes(bits, kScaleBlock), block.size(), block.data());
  }
}

}  // namespace cddp
#endif  // HWY_ONCE
