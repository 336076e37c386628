// The value encodings of common/codec (half.h, block_scaled.h) as arithmetic of one thread, with the same bits.

#ifndef WORKER_CUDA_VALUE_CODING_H_
#define WORKER_CUDA_VALUE_CODING_H_

#include <cmath>
#include <cstdint>

#include "worker/cuda/bucket_batch.h"

namespace cddp::device {

inline constexpr uint32_t kFp32Code = 0, kFp16Code = 1, kBf16Code = 2;  // ValueEncoding

CDDP_HD inline uint32_t EncodeHalf(float value) {
  const uint32_t bits = BitsOf(value);
  const uint32_t magnitude = Min(bits & kMagnitudeBits, 0x477fe000u);  // 65504
  uint32_t code;
  if (magnitude < 113u << 23) {  // subnormal: adding 0.5 aligns the last place, and the adder rounds
    code = BitsOf(FloatOf(magnitude) + 0.5f) - (126u << 23);
  } else {
    code = (magnitude + (magnitude >> 13 & 1) + 0xfffu - (112u << 23)) >> 13;
  }
  return code | (bits >> 16 & 0x8000u);
}

CDDP_HD inline float DecodeHalf(uint32_t code) {
  const float scaled = FloatOf((code & 0x7fffu) << 13) * FloatOf((127u + 112u) << 23);
  return FloatOf(BitsOf(scaled) | (code & 0x8000u) << 16);
}

CDDP_HD inline uint32_t EncodeBf16(float value) {
  const uint32_t bits = BitsOf(value);
  const uint32_t magnitude = Min(bits & kMagnitudeBits, 0x7f7f0000u);
  return (magnitude + (magnitude >> 16 & 1) + 0x7fffu) >> 16 | (bits >> 16 & 0x8000u);
}

CDDP_HD inline float DecodeBf16(uint32_t code) { return FloatOf(code << 16); }

// The meaning of the codes of a block of values: magnitude = lo + level * step.
struct Band {
  float lo;
  float step;
};

CDDP_HD inline uint32_t MaxLevel(uint32_t bits) { return (1u << (bits - 1)) - 1; }

// The scale's 4 bytes, and the band that they describe.
CDDP_HD inline uint32_t BandScale(uint32_t lo_bf16, uint32_t hi_bf16) { return lo_bf16 | Max(lo_bf16, hi_bf16) << 16; }
CDDP_HD inline Band BandOf(uint32_t bits, uint32_t scale) {
  if (bits == 1) return {FloatOf(scale), 0};
  const float lo = DecodeBf16(scale & 0xffffu), hi = DecodeBf16(scale >> 16);
  return {lo, (hi - lo) / static_cast<float>(MaxLevel(bits))};
}

CDDP_HD inline float MeanOf(float sum, uint32_t count) {
  return count == 0 ? 0 : Min(sum / static_cast<float>(count), FloatOf(kLargestFloatBits));
}

CDDP_HD inline uint32_t Quantise(float value, const Band& band, uint32_t bits) {
  const float inverse = band.step >= FloatOf(1u << 23) ? 1 / band.step : 0;  // the least normal float
  const float scaled = (FloatOf(BitsOf(value) & kMagnitudeBits) - band.lo) * inverse;
  const float level = rintf(Min(Max(scaled, 0.0f), static_cast<float>(MaxLevel(bits))));
  return static_cast<uint32_t>(level) | BitsOf(value) >> 31 << (bits - 1);
}

CDDP_HD inline float Dequantise(uint32_t code, const Band& band, uint32_t bits) {
  const float magnitude = band.lo + static_cast<float>(code & MaxLevel(bits)) * band.step;
  return FloatOf(BitsOf(magnitude) | code >> (bits - 1) << 31);
}

}  // namespace cddp::device

#endif  // WORKER_CUDA_VALUE_CODING_H_
