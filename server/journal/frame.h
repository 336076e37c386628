// The journal's file is a sequence of frames. A frame holds the events of one group commit:
//
//   magic u32 | payload bytes u64 | number u64 | crc32c of the payload u32 | crc32c of these 24 bytes u32 | payload |
//   end mark | zeros up to a multiple of kFrameAlignment
//
// Frames are numbered from 0, and one is begun only after the one before it was synced. Hence a crash can
// leave whole frames, then at most one that is cut short, or whose last blocks the file system has filled with zeros.
// The end mark is not zero, so a whole frame never looks like the latter. Only that is a torn tail. Anything else is
// damage, and damage is never taken for a tail.
//
// A frame begins and ends at block boundaries of the disk, so that it can be written without a copy in the page cache,
// and no synced block is ever changed.

#ifndef SERVER_JOURNAL_FRAME_H_
#define SERVER_JOURNAL_FRAME_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/journal/file_layer.h"

namespace cddp {

constexpr size_t kFrameAlignment = 4096;  // all usual disks' blocks divide it
constexpr size_t kFrameHeaderBytes = 28;
constexpr char kFrameEnd = '\x5a';

// Of a payload of `size` bytes whose checksum is `crc`, to kFrameHeaderBytes at `header`.
void StoreFrameHeader(uint64_t number, uint64_t size, uint32_t crc, char* header);

// Of a whole frame with a payload of `size` bytes.
constexpr uint64_t FrameBytes(uint64_t size) {
  return (kFrameHeaderBytes + size + 1 + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

// Writes one frame with a single Append, its payload being `pieces` one after the other, and adds its bytes to *bytes.
absl::Status AppendFrame(AppendFile& file, uint64_t number, std::initializer_list<absl::string_view> pieces,
                         uint64_t* bytes);

// Reads frames one after the other.
class FrameReader {
 public:
  explicit FrameReader(StateFile* file) : file_(*file) {}

  // The next payload, null at the end of the whole frames; a torn tail may follow. DataLoss, saying where, for damage.
  absl::StatusOr<std::shared_ptr<const std::string>> Next();

  uint64_t frames() const { return frames_; }
  uint64_t whole_bytes() const { return offset_; }  // size of the frames read so far
  uint64_t last_frame() const { return last_; }     // where the last of them begins

 private:
  absl::Status Damaged(absl::string_view what) const;
  // Are all bytes from some block's start on, in [begin, latest], zeros? (from `begin` itself will do, too)
  absl::StatusOr<bool> EndsInZeros(uint64_t begin, uint64_t latest, uint64_t size);

  StateFile& file_;
  uint64_t offset_ = 0;
  uint64_t last_ = 0;
  uint64_t frames_ = 0;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_FRAME_H_
