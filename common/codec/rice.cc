#include "common/codec/rice.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

// Lows are read with one unaligned 64-bit load.
constexpr int kMaxParameter = 31;

int BlockParameter(const IndexBlock& block, uint8_t last_parameter) {
  return block.last ? last_parameter : RiceParameter(block.limit - block.base, block.count);
}

size_t LowBytes(size_t count, int k) { return (count * static_cast<size_t>(k) + 7) / 8; }

// Up to 8 bytes at `from`, zeros beyond `end`.
uint64_t LoadUpTo(const uint8_t* from, const uint8_t* end) {
  if (end - from >= 8) return LoadLe<uint64_t>(from);
  uint64_t word = 0;
  for (int shift = 0; from < end; ++from, shift += 8) word |= uint64_t{*from} << shift;
  return word;
}

uint32_t Low(const IndexBlock& block, size_t i, int k) {
  const size_t bit = i * static_cast<size_t>(k);
  const uint8_t* end = block.bytes.data() + block.bytes.size();
  return static_cast<uint32_t>(LoadUpTo(block.bytes.data() + bit / 8, end) >> bit % 8) & ((uint32_t{1} << k) - 1);
}

}  // namespace

int RiceParameter(uint64_t span, uint64_t count) {
  const uint64_t scaled = span * 45426 / 65536 / count;  // ln 2 = 45426 / 65536
  return scaled == 0 ? 0 : std::bit_width(scaled) - 1;
}

uint8_t AppendRice(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes) {
  if (indices.empty()) return 0;
  const size_t start = bytes->size();
  const size_t blocks = IndexBlockCount(indices.size());
  const size_t entries_bytes = (blocks - 1) * kIndexEntryBytes;
  bytes->resize(start + entries_bytes);
  uint32_t base = 0;
  size_t offset = 0;
  int k = 0;
  for (size_t number = 0; number < blocks; ++number) {
    const absl::Span<const uint32_t> block = indices.subspan(number * kIndexBlock, kIndexBlock);
    if (number > 0) {
      WriteIndexEntry(number, base, static_cast<uint32_t>(offset), reinterpret_cast<uint8_t*>(bytes->data()) + start);
    }
    const uint32_t span = block.back() + 1 - base;
    k = RiceParameter(span, block.size());
    uint64_t highs = 0;
    uint32_t from = base;
    for (uint32_t index : block) {
      highs += (index - from) >> k;
      from = index + 1;
    }
    const size_t low_bytes = LowBytes(block.size(), k);
    const size_t size = low_bytes + (highs + block.size() + 7) / 8;
    bytes->resize(start + entries_bytes + offset + size, '\0');
    auto* const to = reinterpret_cast<uint8_t*>(bytes->data()) + start + entries_bytes + offset;
    size_t high_bit = low_bytes * 8;
    size_t low_bit = 0;
    for (uint32_t index : block) {
      const uint32_t gap = index - base;
      base = index + 1;
      for (int bit = 0; bit < k; ++bit, ++low_bit)
        to[low_bit / 8] |= static_cast<uint8_t>((gap >> bit & 1) << low_bit % 8);
      high_bit += gap >> k;
      to[high_bit / 8] |= static_cast<uint8_t>(1u << high_bit % 8);
      ++high_bit;
    }
    offset += size;
  }
  return static_cast<uint8_t>(k);
}

absl::Status ValidateRice(absl::Span<const uint8_t> part, size_t count, uint32_t length, uint8_t last_parameter) {
  if (absl::Status status = ValidateIndexEntries(part, count, length); !status.ok()) return status;
  if (count == 0 && (!part.empty() || last_parameter != 0)) {
    return absl::InvalidArgumentError("index part without indices is not empty");
  }
  if (last_parameter > kMaxParameter) return absl::InvalidArgumentError("Rice parameter is too large");
  for (size_t number = 0; number < IndexBlockCount(count); ++number) {
    const IndexBlock block = GetIndexBlock(part, count, length, number);
    const int k = BlockParameter(block, last_parameter);
    const size_t low_bytes = LowBytes(block.count, k);
    bool good = block.bytes.size() > low_bytes && block.bytes.back() != 0;
    if (good) {
      size_t ones = 0;
      for (uint8_t byte : block.bytes.subspan(low_bytes)) ones += static_cast<size_t>(std::popcount(byte));
      const size_t unary_bits = (block.bytes.size() - low_bytes) * 8 - std::countl_zero(block.bytes.back());
      good = ones == block.count;
      const size_t low_bits = block.count * static_cast<size_t>(k);
      good &= low_bits % 8 == 0 || block.bytes[low_bytes - 1] >> low_bits % 8 == 0;
      if (good) {
        uint64_t beyond = block.base + block.count + (uint64_t{unary_bits - block.count} << k);
        for (size_t i = 0; i < block.count; ++i) beyond += Low(block, i, k);
        good = block.last ? beyond <= block.limit : beyond == block.limit;
      }
    }
    if (!good) {
      return absl::InvalidArgumentError(absl::StrCat("codes of index block ", number, " do not fit its entry points"));
    }
  }
  return absl::OkStatus();
}

void DecodeRiceBlock(const IndexBlock& block, uint8_t last_parameter, uint32_t* to) {
  const int k = BlockParameter(block, last_parameter);
  const uint8_t* const end = block.bytes.data() + block.bytes.size();
  const uint8_t* const unary = block.bytes.data() + LowBytes(block.count, k);
  uint32_t next = block.base;
  size_t i = 0;
  uint32_t zeros_before = 0;
  for (const uint8_t* from = unary; from < end; from += 8) {
    const auto word_start = static_cast<uint32_t>((from - unary) * 8);
    for (uint64_t word = LoadUpTo(from, end); word != 0; word &= word - 1) {
      const auto zeros = word_start + static_cast<uint32_t>(std::countr_zero(word)) - static_cast<uint32_t>(i);
      next += ((zeros - zeros_before) << k) + Low(block, i, k);
      zeros_before = zeros;
      to[i++] = next++;
    }
  }
}

}  // namespace cddp
