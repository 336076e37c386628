// Gaps in Golomb-Rice code: 8.1 bits an index at 1 % density, where the entropy is 8.08.
//
// A gap is high * 2^k + low with low < 2^k. A block holds first all lows, k bits each, padded to a byte, then all highs
// in unary (high zeros and a one), padded to a byte; bits fill bytes from the lowest. Keeping the two apart lets both
// be decoded many at a time, as in Elias-Fano, at no cost in size. The parameter k follows the block's own density,
// known from the entry points; only the last block's is in the header, since no entry follows it.
// Blocks and gaps as in index_blocks.h.

#ifndef COMMON_CODEC_RICE_H_
#define COMMON_CODEC_RICE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/codec/index_blocks.h"

namespace cddp {

// k for `count` > 0 gaps over `span` >= count elements, in integers: floor(log2(m)) of
// m = (2 * span - count) * 31536 / 65536 / count, each division rounded down, and 0 for m = 0 (Kiely 2004, "Selecting
// the Golomb parameter in Rice coding").
int RiceParameter(uint64_t span, uint64_t count);

// Appends the index part of `indices` (strictly increasing, below `length`) to *bytes; returns k of the last block.
uint8_t AppendRice(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes);

// Checks a whole part of `count` <= `length` indices.
absl::Status ValidateRice(absl::Span<const uint8_t> part, size_t count, uint32_t length, uint8_t last_parameter);

// Decodes a block of a valid part to to[0, block.count).
void DecodeRiceBlock(const IndexBlock& block, uint8_t last_parameter, uint32_t* to);

}  // namespace cddp

#endif  // COMMON_CODEC_RICE_H_
