#include "common/codec/update_reader.h"

#include <algorithm>

#include "common/check/check.h"
#include "common/codec/gap8.h"
#include "common/codec/rice.h"
#include "common/codec/value_codec.h"

namespace cddp {
namespace {

absl::Status ValidateIndices(const UpdateParts& parts) {
  const UpdateInfo& info = parts.info;
  switch (info.index_encoding) {
    case IndexEncoding::kDense:
      return absl::OkStatus();
    case IndexEncoding::kGap8:
      return ValidateGap8(parts.index, info.count, info.length);
    case IndexEncoding::kRice:
      return ValidateRice(parts.index, info.count, info.length, parts.rice_parameter);
    case IndexEncoding::kBitmap:
      return ValidateBitmap(parts.index, info.count, info.length);
  }
  return absl::InternalError("unreachable");
}

}  // namespace

absl::StatusOr<CheckedUpdate> CheckedUpdate::Check(absl::string_view bytes, uint32_t length) {
  absl::StatusOr<UpdateParts> parts = SplitUpdate(bytes, length);
  if (!parts.ok()) return parts.status();
  if (absl::Status status = ValidateIndices(*parts); !status.ok()) return status;
  absl::Status status = ValidateValues(parts->info.value_encoding, parts->values.data(), parts->info.count);
  if (!status.ok()) return status;
  return CheckedUpdate(*parts, bytes);
}

void UpdateReader::DecodeIndices(size_t number, size_t count) {
  const UpdateInfo& info = parts_.info;
  switch (info.index_encoding) {
    case IndexEncoding::kDense:
      break;  // positions
    case IndexEncoding::kGap8:
      DecodeGap8Block(GetIndexBlock(parts_.index, info.count, info.length, number), indices_);
      break;
    case IndexEncoding::kRice:
      DecodeRiceBlock(GetIndexBlock(parts_.index, info.count, info.length, number), parts_.rice_parameter, indices_);
      break;
    case IndexEncoding::kBitmap:
      bitmap_.Read(count, indices_);
      break;
  }
}

bool UpdateReader::NextBlock() {
  const UpdateInfo& info = parts_.info;
  position_ = 0;
  filled_ = 0;
  if (next_block_ == IndexBlockCount(info.count)) return false;
  const size_t first = next_block_ * kIndexBlock;
  filled_ = std::min<size_t>(kIndexBlock, info.count - first);
  DecodeIndices(next_block_, filled_);
  DecodeValues(info.value_encoding, parts_.values.data(), info.count, first, absl::MakeSpan(values_, filled_));
  ++next_block_;
  return true;
}

void UpdateReader::AddTo(uint32_t begin, float factor, absl::Span<float> target) {
  if (parts_.info.index_encoding == IndexEncoding::kDense) return AddDenseTo(factor, target);
  const uint64_t end = begin + uint64_t{target.size()};
  while (position_ < filled_ || NextBlock()) {
    CDDP_CHECK(indices_[position_] >= begin) << "entry " << indices_[position_] << " lies before " << begin;
    const bool whole = indices_[filled_ - 1] < end;
    float* const to = target.data();
    size_t i = position_;
    const auto add = [&](size_t entry) { to[indices_[entry] - begin] += factor * values_[entry]; };
    // Four at a time; since the indices ascend, checking the last of them suffices.
    for (; i + 4 <= filled_ && indices_[i + 3] < end; i += 4) {
      add(i);
      add(i + 1);
      add(i + 2);
      add(i + 3);
    }
    for (; i < filled_ && indices_[i] < end; ++i) add(i);
    position_ = i;
    if (!whole) return;
  }
}

void UpdateReader::AddDenseTo(float factor, absl::Span<float> target) {
  for (size_t done = 0; done < target.size();) {
    if (position_ == filled_ && !NextBlock()) return;
    const size_t count = std::min(filled_ - position_, target.size() - done);
    const float* __restrict from = values_ + position_;
    float* __restrict to = target.data() + done;
    for (size_t i = 0; i < count; ++i) to[i] += factor * from[i];
    position_ += count;
    done += count;
  }
}

}  // namespace cddp
