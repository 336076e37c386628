// The first 20 bytes of an update. The index part and the value part follow it, and nothing else.
//
//   byte 0      format version, 1
//   byte 1      IndexEncoding
//   byte 2      ValueEncoding
//   byte 3      Rice parameter of the last block (rice.h); 0 with other index encodings
//   bytes 4-7   length: elements of the bucket
//   bytes 8-11  count: values carried
//   bytes 12-15 size of the index part in bytes
//   bytes 16-19 size of the value part in bytes

#ifndef COMMON_CODEC_UPDATE_HEADER_H_
#define COMMON_CODEC_UPDATE_HEADER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/codec/encoding.h"

namespace cddp {

// Longest bucket that can be encoded: all sizes and offsets then fit 32 bits.
inline constexpr uint32_t kMaxBucketLength = uint32_t{1} << 28;

// The contents of an update's header.
struct UpdateInfo {
  IndexEncoding index_encoding = IndexEncoding::kGap8;
  ValueEncoding value_encoding = ValueEncoding::kFp32;
  uint32_t length = 0;       // elements of the bucket
  uint32_t count = 0;        // values carried; == length if dense
  uint32_t index_bytes = 0;  // size of the index part, entry points included
  uint32_t value_bytes = 0;  // size of the value part
};

inline constexpr size_t kUpdateHeaderBytes = 20;

// The parts of an update; the spans point into the bytes from which it was read.
struct UpdateParts {
  UpdateInfo info;
  uint8_t rice_parameter = 0;
  absl::Span<const uint8_t> index;
  absl::Span<const uint8_t> values;
};

// Writes the header of `info` to to[0, kUpdateHeaderBytes).
void WriteUpdateHeader(const UpdateInfo& info, uint8_t rice_parameter, uint8_t* to);

// Checks header and sizes, not the contents of the parts. The bucket must have `length` elements.
absl::StatusOr<UpdateParts> SplitUpdate(absl::string_view bytes, uint32_t length);

}  // namespace cddp

#endif  // COMMON_CODEC_UPDATE_HEADER_H_
