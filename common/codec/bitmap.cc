#include "common/codec/bitmap.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace cddp {

void AppendBitmap(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes) {
  const size_t start = bytes->size();
  bytes->resize(start + (size_t{length} + 7) / 8, '\0');
  auto* const part = reinterpret_cast<uint8_t*>(bytes->data()) + start;
  for (uint32_t index : indices) part[index / 8] |= static_cast<uint8_t>(1u << index % 8);
}

absl::Status ValidateBitmap(absl::Span<const uint8_t> part, size_t count, uint32_t length) {
  if (part.size() != (size_t{length} + 7) / 8) {
    return absl::InvalidArgumentError(absl::StrCat("bitmap has ", part.size(), " bytes for ", length, " elements"));
  }
  if (length % 8 != 0 && part.back() >> length % 8 != 0) {
    return absl::InvalidArgumentError("bits after the bitmap's end are not zero");
  }
  size_t ones = 0;
  for (size_t byte = 0; byte < part.size(); byte += 8) {
    uint64_t word = 0;
    std::memcpy(&word, part.data() + byte, std::min<size_t>(8, part.size() - byte));
    ones += static_cast<size_t>(std::popcount(word));
  }
  if (ones != count) {
    return absl::InvalidArgumentError(absl::StrCat("bitmap has ", ones, " indices, the header says ", count));
  }
  return absl::OkStatus();
}

void BitmapReader::NextWord() {
  const size_t size = std::min<size_t>(8, part_.size() - byte_);
  word_ = 0;
  std::memcpy(&word_, part_.data() + byte_, size);
  byte_ += 8;
}

void BitmapReader::Read(size_t count, uint32_t* to) {
  for (size_t i = 0; i < count; ++i) {
    while (word_ == 0) NextWord();
    to[i] = static_cast<uint32_t>((byte_ - 8) * 8 + static_cast<size_t>(std::countr_zero(word_)));
    word_ &= word_ - 1;
  }
}

}  // namespace cddp
