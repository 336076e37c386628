// Blocks of 1024 indices, the unit in which index parts are decoded, in any order or in parallel.
//
// An index part begins with one entry of 8 bytes for each block but the first: its base (the least index it can hold:
// one more than the last index of the block before) and the offset of its first byte, both u32. The blocks' bytes
// follow; offsets count from there. The first block has base 0 and offset 0. Within a block an index is coded as the
// gap to the one before: index - previous - 1, for the first of the block index - base.

#ifndef COMMON_CODEC_INDEX_BLOCKS_H_
#define COMMON_CODEC_INDEX_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cddp {

inline constexpr size_t kIndexBlock = 1024;
inline constexpr size_t kIndexEntryBytes = 8;

// Room that decoders of a block need for its indices: they write whole vectors.
inline constexpr size_t kDecodeRoom = kIndexBlock + 64;

inline size_t IndexBlockCount(size_t count) { return (count + kIndexBlock - 1) / kIndexBlock; }

// One block of a part.
struct IndexBlock {
  size_t count = 0;    // indices in it, 1 to kIndexBlock
  uint32_t base = 0;   // least index it can hold
  uint32_t limit = 0;  // all its indices are below: the next block's base, or the bucket's length
  bool last = false;   // of the part
  absl::Span<const uint8_t> bytes;
};

// Block `number` of a part whose entries are valid.
IndexBlock GetIndexBlock(absl::Span<const uint8_t> part, size_t count, uint32_t length, size_t number);

// Checks that the entries of a part of `count` indices, `count` <= `length`, lie inside the part and ascend.
absl::Status ValidateIndexEntries(absl::Span<const uint8_t> part, size_t count, uint32_t length);

// Writes the entry of block `number` > 0 into a part.
void WriteIndexEntry(size_t number, uint32_t base, uint32_t offset, uint8_t* part);

}  // namespace cddp

#endif  // COMMON_CODEC_INDEX_BLOCKS_H_
