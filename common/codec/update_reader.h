// Reading the entries of an update piece by piece, so that several updates can be added to one range of a bucket while
// that range is in the cache.

#ifndef COMMON_CODEC_UPDATE_READER_H_
#define COMMON_CODEC_UPDATE_READER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/codec/bitmap.h"
#include "common/codec/index_blocks.h"
#include "common/codec/update_header.h"

namespace cddp {

// An update whose bytes have been checked completely; functions that take one need no second check. It points into the
// bytes it was made from, which must outlive it and stay unchanged. Cheap to copy; any thread.
class CheckedUpdate {
 public:
  // As ValidateUpdate (update_codec.h).
  static absl::StatusOr<CheckedUpdate> Check(absl::string_view bytes, uint32_t length);

  const UpdateInfo& info() const { return parts_.info; }
  absl::string_view bytes() const { return bytes_; }

 private:
  friend class UpdateReader;
  CheckedUpdate(const UpdateParts& parts, absl::string_view bytes) : parts_(parts), bytes_(bytes) {}

  UpdateParts parts_;
  absl::string_view bytes_;
};

// Walks an update once, in index order. Holds 8 KiB; one call at a time.
class UpdateReader {
 public:
  explicit UpdateReader(const CheckedUpdate& update) : parts_(update.parts_), bitmap_(update.parts_.index) {}

  // target[index - begin] += factor * value for each entry not read yet whose index is below begin + target.size(), one
  // float32 product and addition each. All indices below `begin` have been read.
  void AddTo(uint32_t begin, float factor, absl::Span<float> target);

  // The next up to 1024 entries, less those that AddTo has read; false at the end. Not for dense updates, whose indices
  // are their positions.
  bool NextBlock();
  absl::Span<const uint32_t> indices() const { return {indices_ + position_, filled_ - position_}; }
  absl::Span<const float> values() const { return {values_ + position_, filled_ - position_}; }

 private:
  void AddDenseTo(float factor, absl::Span<float> target);
  void DecodeIndices(size_t number, size_t count);

  const UpdateParts parts_;
  BitmapReader bitmap_;
  size_t next_block_ = 0;
  size_t position_ = 0;  // entries of the decoded block that have been read
  size_t filled_ = 0;    // entries of the decoded block
  uint32_t indices_[kDecodeRoom];
  float values_[kIndexBlock];
};

}  // namespace cddp

#endif  // COMMON_CODEC_UPDATE_READER_H_
