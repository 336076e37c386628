#include "common/transport/slice_reader.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "common/transport/slices.h"

namespace cddp {

SliceReader::SliceReader(const grpc::ByteBuffer& buffer) {
  if (!buffer.Valid() || !buffer.Dump(&slices_).ok()) slices_.clear();
  for (const grpc::Slice& slice : slices_) size_ += slice.size();
}

bool SliceReader::FindByte() {
  while (slice_ < slices_.size() && offset_ == slices_[slice_].size()) {
    ++slice_;
    offset_ = 0;
  }
  return slice_ < slices_.size();
}

bool SliceReader::ReadVarint(uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (!FindByte()) return false;
    const uint8_t byte = slices_[slice_].begin()[offset_++];
    ++position_;
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool SliceReader::ReadTag(FieldTag* tag) {
  uint64_t bits = 0;
  if (!ReadVarint(&bits) || bits > UINT32_MAX) return false;
  *tag = {static_cast<uint32_t>(bits) >> 3, static_cast<uint32_t>(bits) & 7};
  return tag->field != 0;
}

bool SliceReader::ReadFixed32(uint32_t* value) {
  SharedBytes bytes;
  if (!ReadBytes(sizeof(*value), sizeof(*value) + 1, &bytes)) return false;
  *value = 0;
  for (int i = 0; i < 4; ++i) *value |= uint32_t{static_cast<uint8_t>(bytes.data()[i])} << (8 * i);
  return true;
}

bool SliceReader::ReadLength(uint64_t end, uint64_t* length) {
  return ReadVarint(length) && position_ <= end && *length <= end - position_;
}

bool SliceReader::Skip(uint64_t bytes) {
  if (bytes > size_ - position_) return false;
  position_ += bytes;
  while (bytes > 0 && FindByte()) {
    const uint64_t part = std::min<uint64_t>(bytes, slices_[slice_].size() - offset_);
    offset_ += part;
    bytes -= part;
  }
  return true;
}

bool SliceReader::SkipValue(const FieldTag& tag) {
  uint64_t number = 0;
  switch (tag.type) {
    case FieldTag::kVarint:
      return ReadVarint(&number);
    case FieldTag::kFixed64:
      return Skip(8);
    case FieldTag::kFixed32:
      return Skip(4);
    case FieldTag::kLengthDelimited:
      return ReadLength(size_, &number) && Skip(number);
    default:
      return false;
  }
}

bool SliceReader::ReadBytes(uint64_t bytes, size_t least_shared, SharedBytes* value) {
  if (bytes > size_ - position_) return false;
  if (bytes == 0 || !FindByte()) {
    *value = SharedBytes();
    return true;
  }
  if (const grpc::Slice& slice = slices_[slice_]; bytes >= least_shared && bytes <= slice.size() - offset_) {
    *value = FromSlice(slice.sub(offset_, offset_ + bytes));
    return Skip(bytes);
  }
  std::shared_ptr<char[]> copy = std::make_shared_for_overwrite<char[]>(bytes);
  for (uint64_t done = 0; done < bytes && FindByte();) {
    const grpc::Slice& slice = slices_[slice_];
    const uint64_t part = std::min<uint64_t>(bytes - done, slice.size() - offset_);
    std::memcpy(copy.get() + done, slice.begin() + offset_, part);
    done += part;
    offset_ += part;
  }
  position_ += bytes;
  const absl::string_view view(copy.get(), bytes);
  *value = SharedBytes(std::move(copy), view);
  return true;
}

}  // namespace cddp
