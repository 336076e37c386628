// Values of 8, 4, 2 or 1 bits, scaled by blocks of 256.
//
// The magnitudes of a block lie in a band [lo, hi]; top-k leaves nothing near zero, so codes spread over the band lose
// less than codes spread over [0, hi]. Part of n values: for each block a scale of 4 bytes, then the codes of all
// values, the first in the lowest bits, trailing bits zero.
//
//   int8, int4  scale = lo, hi as bfloat16: least magnitude (rounded towards zero), greatest (to nearest)
//   int2        scale = lo, hi as bfloat16: means of the magnitudes below the block's mean, and of the others
//               code = sign << (bits - 1) | level, value = +-(lo + level * step), step = (hi - lo) / max_level, where
//               max_level = 2^(bits - 1) - 1; a step below the least normal float leaves all levels 0
//   ternary     scale = mean magnitude as float32; code = sign, value = +-mean
//
// All arithmetic is float32, rounded to nearest per operation, no FMA. The sum of a block is made by halving:
// a[i] += a[i + 128] for i < 128, then 64, ... 1, on the block padded by zeros to 256; a mean is that sum divided by
// the count and is at most FLT_MAX. So any vector width and any GPU makes the same bytes.

#ifndef COMMON_CODEC_BLOCK_SCALED_H_
#define COMMON_CODEC_BLOCK_SCALED_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cddp {

inline constexpr size_t kScaleBlock = 256;

// Size of the part for `count` values of `bits` (8, 4, 2, or 1 for ternary) each.
size_t BlockScaledBytes(int bits, size_t count);

// Writes BlockScaledBytes(bits, values.size()) bytes and replaces `values` (finite) by their decoded values.
void EncodeBlockScaled(int bits, absl::Span<float> values, uint8_t* part);

// Checks a part of the right size: scales finite, non-negative and ordered, trailing bits zero.
absl::Status ValidateBlockScaled(int bits, const uint8_t* part, size_t count);

// Decodes values [first, first + to.size()) of a valid part of `count`; `first` is a multiple of kScaleBlock.
void DecodeBlockScaled(int bits, const uint8_t* part, size_t count, size_t first, absl::Span<float> to);

}  // namespace cddp

#endif  // COMMON_CODEC_BLOCK_SCALED_H_
