#include "common/codec/index_blocks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

size_t EntriesBytes(size_t count) { return count == 0 ? 0 : (IndexBlockCount(count) - 1) * kIndexEntryBytes; }

}  // namespace

IndexBlock GetIndexBlock(absl::Span<const uint8_t> part, size_t count, uint32_t length, size_t number) {
  const size_t entries_bytes = EntriesBytes(count);
  const uint8_t* next_entry = part.data() + number * kIndexEntryBytes;
  IndexBlock block;
  block.count = std::min(kIndexBlock, count - number * kIndexBlock);
  block.last = number + 1 == IndexBlockCount(count);
  size_t begin = 0;
  if (number > 0) {
    block.base = LoadLe<uint32_t>(next_entry - kIndexEntryBytes);
    begin = LoadLe<uint32_t>(next_entry - kIndexEntryBytes + 4);
  }
  size_t end = part.size() - entries_bytes;
  block.limit = length;
  if (!block.last) {
    block.limit = LoadLe<uint32_t>(next_entry);
    end = LoadLe<uint32_t>(next_entry + 4);
  }
  block.bytes = part.subspan(entries_bytes + begin, end - begin);
  return block;
}

absl::Status ValidateIndexEntries(absl::Span<const uint8_t> part, size_t count, uint32_t length) {
  const size_t entries_bytes = EntriesBytes(count);
  if (part.size() < entries_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("index part of ", part.size(), " bytes lacks its entry points"));
  }
  uint64_t least_base = 0;
  uint64_t offset = 0;
  for (const uint8_t* entry = part.data(); entry != part.data() + entries_bytes; entry += kIndexEntryBytes) {
    const uint32_t base = LoadLe<uint32_t>(entry);
    const uint32_t next_offset = LoadLe<uint32_t>(entry + 4);
    least_base += kIndexBlock;
    if (base < least_base || base > length || next_offset < offset || next_offset > part.size() - entries_bytes) {
      return absl::InvalidArgumentError("entry points of the index part are out of order or range");
    }
    least_base = base;
    offset = next_offset;
  }
  return absl::OkStatus();
}

void WriteIndexEntry(size_t number, uint32_t base, uint32_t offset, uint8_t* part) {
  uint8_t* entry = part + (number - 1) * kIndexEntryBytes;
  StoreLe<uint32_t>(base, entry);
  StoreLe<uint32_t>(offset, entry + 4);
}

}  // namespace cddp
