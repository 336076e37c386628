#include "server/journal/frame_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/check/check.h"
#include "common/codec/crc32c.h"

namespace cddp {
namespace {

// A long frame, after a stalled disk, must not keep its memory for ever.
constexpr size_t kLeastUse = 8;

}  // namespace

void FrameBuffer::Append(absl::string_view bytes) {
  if (bytes.empty()) return;
  const size_t needed = FrameBytes(size_ + bytes.size());
  if (needed > capacity_) {
    const size_t capacity = std::max(needed, 2 * capacity_);
    std::unique_ptr<char, Free> larger(
        static_cast<char*>(::operator new (capacity, std::align_val_t{kFrameAlignment})));
    if (size_ > 0) std::memcpy(larger.get() + kFrameHeaderBytes, bytes_.get() + kFrameHeaderBytes, size_);
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }
  std::memcpy(bytes_.get() + kFrameHeaderBytes + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

absl::string_view FrameBuffer::Seal(uint64_t number) {
  CDDP_CHECK(size_ > 0) << "an empty frame reads as the journal's end";
  char* const payload = bytes_.get() + kFrameHeaderBytes;
  const size_t frame = FrameBytes(size_);
  StoreFrameHeader(number, size_, Crc32c(payload, size_), bytes_.get());
  payload[size_] = kFrameEnd;
  std::memset(payload + size_ + 1, 0, frame - kFrameHeaderBytes - size_ - 1);
  return {bytes_.get(), frame};
}

void FrameBuffer::Swap(FrameBuffer& other) {
  bytes_.swap(other.bytes_);
  std::swap(capacity_, other.capacity_);
  std::swap(size_, other.size_);
}

void FrameBuffer::Clear() {
  if (size_ < capacity_ / kLeastUse) {
    bytes_.reset();
    capacity_ = 0;
  }
  size_ = 0;
}

}  // namespace cddp
