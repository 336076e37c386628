#include "common/codec/rice.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "common/codec/little_endian.h"

namespace cddp {
namespace {

constexpr int kMaxParameter = 31;

int BlockParameter(const IndexBlock& block, uint8_t last_parameter) {
  return block.last ? last_parameter : RiceParameter(block.limit - block.base, block.count);
}

size_t LowBytes(size_t count, int k) { return (count * static_cast<size_t>(k) + 7) / 8; }

// Loads 8 bytes at `from`; those at `end` and beyond count as zeros.
uint64_t LoadUpTo(const uint8_t* from, const uint8_t* end) {
  if (end - from >= 8) return LoadLe<uint64_t>(from);
  uint64_t word = 0;
  for (int shift = 0; from < end; ++from, shift += 8) word |= uint64_t{*from} << shift;
  return word;
}

// Reads the lows of a block, one after the other.
class LowReader {
 public:
  LowReader(const IndexBlock& block, int k)
      : begin_(block.bytes.data()), end_(begin_ + block.bytes.size()), k_(k), mask_((uint32_t{1} << k) - 1) {}

  uint32_t Next() {
    const uint64_t word = LoadUpTo(begin_ + bit_ / 8, end_) >> bit_ % 8;
    bit_ += static_cast<size_t>(k_);
    return static_cast<uint32_t>(word) & mask_;
  }

 private:
  const uint8_t* const begin_;
  const uint8_t* const end_;
  const int k_;
  const uint32_t mask_;
  size_t bit_ = 0;
};

// Appends fields of bits to zeroed bytes.
class BitWriter {
 public:
  explicit BitWriter(uint8_t* to) : to_(to) {}

  void Write(uint64_t field, int bits) {  // bits <= 32
    word_ |= field << used_;
    used_ += bits;
    if (used_ >= 32) {
      StoreLe<uint32_t>(static_cast<uint32_t>(word_), to_);
      to_ += 4;
      word_ >>= 32;
      used_ -= 32;
    }
  }
  void Skip(uint64_t zeros) {
    for (; zeros >= 32; zeros -= 32) Write(0, 32);
    Write(0, static_cast<int>(zeros));
  }
  void Finish() {
    for (; used_ > 0; used_ -= 8, word_ >>= 8) *to_++ = static_cast<uint8_t>(word_);
  }

 private:
  uint8_t* to_;
  uint64_t word_ = 0;
  int used_ = 0;  // bits of word_, < 32
};

// The codes of one block; `to` has room for exactly these.
void EncodeBlock(absl::Span<const uint32_t> indices, uint32_t base, int k, uint8_t* to) {
  const uint64_t mask = (uint64_t{1} << k) - 1;
  BitWriter lows(to);
  BitWriter highs(to + LowBytes(indices.size(), k));
  for (uint32_t index : indices) {
    const uint32_t gap = index - base;
    base = index + 1;
    lows.Write(gap & mask, k);
    highs.Skip(gap >> k);
    highs.Write(1, 1);
  }
  lows.Finish();
  highs.Finish();
}

bool IsValidBlock(const IndexBlock& block, int k) {
  const size_t low_bytes = LowBytes(block.count, k);
  if (block.bytes.size() <= low_bytes || block.bytes.back() == 0) return false;
  const uint8_t* const end = block.bytes.data() + block.bytes.size();
  size_t ones = 0;
  for (const uint8_t* from = block.bytes.data() + low_bytes; from < end; from += 8) {
    ones += static_cast<size_t>(std::popcount(LoadUpTo(from, end)));
  }
  if (ones != block.count) return false;
  const size_t low_bits = block.count * static_cast<size_t>(k);
  if (low_bits % 8 != 0 && block.bytes[low_bytes - 1] >> low_bits % 8 != 0) return false;
  // The sum of all gaps, in 64 bits: if it stays in range, so does every partial sum.
  const auto padding = static_cast<size_t>(std::countl_zero(block.bytes.back()));
  const uint64_t highs = (block.bytes.size() - low_bytes) * 8 - padding - block.count;
  uint64_t beyond = block.base + block.count + (highs << k);
  LowReader lows(block, k);
  for (size_t i = 0; i < block.count; ++i) beyond += lows.Next();
  return block.last ? beyond <= block.limit : beyond == block.limit;
}

}  // namespace

int RiceParameter(uint64_t span, uint64_t count) {
  // Best for geometric gaps of parameter p: 2^(k - 1) <= ln(golden ratio) / -ln(1 - p), about 0.4812 (1 / p - 1 / 2).
  const uint64_t scaled = (2 * span - count) * 31536 / 65536 / count;
  return scaled == 0 ? 0 : std::bit_width(scaled) - 1;
}

uint8_t AppendRice(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes) {
  if (indices.empty()) return 0;
  const size_t start = bytes->size();
  const size_t blocks = IndexBlockCount(indices.size());
  size_t end = start + (blocks - 1) * kIndexEntryBytes;
  const size_t codes = end;
  bytes->resize(end);
  uint32_t base = 0;
  int k = 0;
  for (size_t number = 0; number < blocks; ++number) {
    const absl::Span<const uint32_t> block = indices.subspan(number * kIndexBlock, kIndexBlock);
    k = RiceParameter(block.back() + 1 - base, block.size());
    size_t unary_bits = block.size();
    uint32_t from = base;
    for (uint32_t index : block) {
      unary_bits += (index - from) >> k;
      from = index + 1;
    }
    const size_t size = LowBytes(block.size(), k) + (unary_bits + 7) / 8;
    bytes->resize(end + size);
    auto* const data = reinterpret_cast<uint8_t*>(bytes->data());
    if (number > 0) WriteIndexEntry(number, base, static_cast<uint32_t>(end - codes), data + start);
    EncodeBlock(block, base, k, data + end);
    base = from;
    end += size;
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
    if (!IsValidBlock(block, BlockParameter(block, last_parameter))) {
      return absl::InvalidArgumentError(absl::StrCat("codes of index block ", number, " do not fit its entry points"));
    }
  }
  return absl::OkStatus();
}

void DecodeRiceBlock(const IndexBlock& block, uint8_t last_parameter, uint32_t* to) {
  const int k = BlockParameter(block, last_parameter);
  const uint8_t* const end = block.bytes.data() + block.bytes.size();
  const uint8_t* const unary = block.bytes.data() + LowBytes(block.count, k);
  LowReader lows(block, k);
  uint32_t low_sum = block.base;
  uint32_t i = 0;
  for (const uint8_t* from = unary; from < end; from += 8) {
    const auto word_start = static_cast<uint32_t>((from - unary) * 8);
    for (uint64_t word = LoadUpTo(from, end); word != 0; word &= word - 1) {
      // The i-th one has i ones and all zeros of gaps 0 to i before it.
      const uint32_t highs = word_start + static_cast<uint32_t>(std::countr_zero(word)) - i;
      low_sum += lows.Next();
      to[i] = low_sum + (highs << k) + i;
      ++i;
    }
  }
}

}  // namespace cddp
