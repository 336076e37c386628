// The 16-bit value formats. Conversions use bits and IEEE arithmetic, so they are the same on every processor.

#ifndef COMMON_CODEC_HALF_H_
#define COMMON_CODEC_HALF_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace cddp {

// IEEE binary16, nearest even, saturating at +-65504: encodes `size` finite values to 2 bytes each at `to`, and
// replaces them by their decoded values.
void EncodeHalf(float* values, size_t size, uint8_t* to);
// Decodes `size` finite values of 2 bytes each.
void DecodeHalf(const uint8_t* from, size_t size, float* values);

// The same for bfloat16, nearest even, saturating at the largest finite one.
void EncodeBf16(float* values, size_t size, uint8_t* to);
void DecodeBf16(const uint8_t* from, size_t size, float* values);

inline uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) >= 0x7f7f0000u) return static_cast<uint16_t>((bits >> 31 << 15) | 0x7f7fu);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
inline float Bf16ToFloat(uint16_t bf16) { return std::bit_cast<float>(static_cast<uint32_t>(bf16) << 16); }

}  // namespace cddp

#endif  // COMMON_CODEC_HALF_H_
