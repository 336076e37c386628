// Indices as one bit per element, element 0 in the lowest bit of byte 0, trailing bits zero.

#ifndef COMMON_CODEC_BITMAP_H_
#define COMMON_CODEC_BITMAP_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cddp {

// Appends the index part of `indices` (strictly increasing, below `length`) to *bytes.
void AppendBitmap(absl::Span<const uint32_t> indices, uint32_t length, std::string* bytes);

// Checks a whole part of `count` indices.
absl::Status ValidateBitmap(absl::Span<const uint8_t> part, size_t count, uint32_t length);

// Walks the indices of a valid part from the first.
class BitmapReader {
 public:
  explicit BitmapReader(absl::Span<const uint8_t> part) : part_(part) {}

  // The next `count` indices; at least as many are left.
  void Read(size_t count, uint32_t* to);

 private:
  void NextWord();

  const absl::Span<const uint8_t> part_;
  size_t byte_ = 0;    // of part_, after word_
  uint64_t word_ = 0;  // bits not walked yet
};

}  // namespace cddp

#endif  // COMMON_CODEC_BITMAP_H_
