// Reads a message of the protobuf encoding from gRPC's slices, as they came from the network.

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
// each Read returns false where the buffer ends before the value does, or the value is none; the reader is of no use
// after that. Not thread-safe.
class SliceReader {
 public:
  explicit SliceReader(const grpc::ByteBuffer& buffer);

  uint64_t position() const { return position_; }  // bytes read
  uint64_t size() const { return size_; }          // of the whole buffer

  bool ReadVarint(uint64_t* value);
  bool ReadFixed32(uint32_t* value);
  bool ReadTag(FieldTag* tag);
  // The length of a field, which ends at or before `end`.
  bool ReadLength(uint64_t end, uint64_t* length);
  bool Skip(uint64_t bytes);
  // Skips the value behind `tag`. False for a group, which no message of ours has.
  bool SkipValue(const FieldTag& tag);
  // The next `bytes` bytes. They refer to the slice that they lie in if there are at least `least_shared` of them and
  // one slice holds all; otherwise they are copied once, into memory of just that size.
  bool ReadBytes(uint64_t bytes, size_t least_shared, SharedBytes* value);

 private:
  // Moves to the next slice that has bytes, if this one has been read.
  bool FindByte();

  std::vector<grpc::Slice> slices_;
  size_t slice_ = 0;   // the one that is read
  size_t offset_ = 0;  // in it
  uint64_t position_ = 0;
  uint64_t size_ = 0;
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_SLICE_READER_H_
