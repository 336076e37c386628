// Reads a message in the protobuf encoding from gRPC's slices, as received from the network.

#ifndef COMMON_TRANSPORT_SLICE_READER_H_
#define COMMON_TRANSPORT_SLICE_READER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/bytes/shared_bytes.h"

namespace cddp {

// A field's number and wire type.
struct FieldTag {
  enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };
  uint32_t field = 0;
  uint32_t type = kVarint;

  bool Is(int number, WireType wire_type) const { return field == static_cast<uint32_t>(number) && type == wire_type; }
};

// Walks the buffer once, from its first byte to its last. Holds references to the slices. Any bytes are safe to read:
// each Read returns false if the buffer ends within the value or the value is invalid; the reader must not be used
// after that. Not thread-safe.
class SliceReader {
 public:
  explicit SliceReader(const grpc::ByteBuffer& buffer);

  uint64_t position() const { return position_; }  // bytes read
  uint64_t size() const { return size_; }          // of the whole buffer

  bool ReadVarint(uint64_t* value);
  bool ReadFixed32(uint32_t* value);
  bool ReadTag(FieldTag* tag);
  // Reads the length of a field, which must end at or before `end`.
  bool ReadLength(uint64_t end, uint64_t* length);
  bool Skip(uint64_t bytes);
  // Skips the value after `tag`. False for a group, which our messages do not have.
  bool SkipValue(const FieldTag& tag);
  // Reads the next `bytes` bytes. They refer to their slice if there are at least `least_shared` of them in one slice;
  // otherwise they are copied once, into memory of exactly that size.
  bool ReadBytes(uint64_t bytes, size_t least_shared, SharedBytes* value);

 private:
  // Moves to the next slice with bytes, if this one has been read completely.
  bool FindByte();

  std::vector<grpc::Slice> slices_;
  size_t slice_ = 0;   // the current slice
  size_t offset_ = 0;  // position in it
  uint64_t position_ = 0;
  uint64_t size_ = 0;
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_SLICE_READER_H_
