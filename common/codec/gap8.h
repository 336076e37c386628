// Gaps as bytes: b < 255 ends a gap and adds b to it, 255 adds 255 and the gap continues. 8.67 bits an index at 1 %.
// Blocks and gaps as in index_blocks.h.

#ifndef COMMON_CODEC_GAP8_H_
#define COMMON_CODEC_GAP8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/codec/index_blocks.h"

namespace cddp {

// Appends the index part of `indices` (strictly increasing, below `length`) to *bytes.
void AppendGap8(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes);

// Checks a whole part of `count` <= `length` indices.
absl::Status ValidateGap8(absl::Span<const uint8_t> part, size_t count, uint32_t length);

// Decodes a block of a valid part to to[0, block.count); to[block.count, kDecodeRoom) may be overwritten.
void DecodeGap8Block(const IndexBlock& block, uint32_t* to);

}  // namespace cddp

#endif  // COMMON_CODEC_GAP8_H_
