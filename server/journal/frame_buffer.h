// Collects the payload of a frame, in its place within the frame.

#ifndef SERVER_JOURNAL_FRAME_BUFFER_H_
#define SERVER_JOURNAL_FRAME_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "absl/strings/string_view.h"
#include "server/journal/frame.h"

namespace cddp {

// Its memory is aligned to the disk's blocks, so that the whole frame can be written without another copy. Not
// thread-safe.
class FrameBuffer {
 public:
  void Append(absl::string_view bytes);

  size_t size() const { return size_; }  // of the payload
  bool empty() const { return size_ == 0; }

  // The whole frame; valid until the next call.
  absl::string_view Seal(uint64_t number);

  void Swap(FrameBuffer& other);

  // Empties it. It keeps its memory if a large part of that was used.
  void Clear();

 private:
  struct Free {
    void operator()(char* bytes) const { ::operator delete (bytes, std::align_val_t{kFrameAlignment}); }
  };

  std::unique_ptr<char, Free> bytes_;  // room for the header, then the payload
  size_t capacity_ = 0;                // a multiple of kFrameAlignment
  size_t size_ = 0;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_FRAME_BUFFER_H_
