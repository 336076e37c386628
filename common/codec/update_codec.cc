#include "common/codec/update_codec.h"

#include <algorithm>
#include <numeric>

#include "common/codec/bitmap.h"
#include "common/codec/gap8.h"
#include "common/codec/index_blocks.h"
#include "common/codec/rice.h"
#include "common/codec/update_header.h"
#include "common/codec/value_codec.h"

namespace cddp {
namespace {

void AppendValues(ValueEncoding encoding, absl::Span<float> values, std::string* bytes) {
  const size_t start = bytes->size();
  bytes->resize(start + EncodedValueBytes(encoding, values.size()));
  EncodeValues(encoding, values, reinterpret_cast<uint8_t*>(bytes->data()) + start);
}

void FinishHeader(UpdateInfo info, uint8_t rice_parameter, std::string* bytes) {
  info.value_bytes = static_cast<uint32_t>(bytes->size() - kUpdateHeaderBytes - info.index_bytes);
  WriteUpdateHeader(info, rice_parameter, reinterpret_cast<uint8_t*>(bytes->data()));
}

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

absl::StatusOr<UpdateParts> SplitAndValidate(absl::string_view bytes, uint32_t length) {
  absl::StatusOr<UpdateParts> parts = SplitUpdate(bytes, length);
  if (!parts.ok()) return parts;
  if (absl::Status status = ValidateIndices(*parts); !status.ok()) return status;
  absl::Status status = ValidateValues(parts->info.value_encoding, parts->values.data(), parts->info.count);
  if (!status.ok()) return status;
  return parts;
}

// Calls visit(indices, values) for each run of up to 1024 entries of a valid update, in order.
template <typename Visit>
void VisitBlocks(const UpdateParts& parts, Visit visit) {
  const UpdateInfo& info = parts.info;
  BitmapReader bitmap(parts.index);
  uint32_t indices[kDecodeRoom];
  float values[kIndexBlock];
  for (size_t number = 0; number < IndexBlockCount(info.count); ++number) {
    const size_t first = number * kIndexBlock;
    const size_t count = std::min<size_t>(kIndexBlock, info.count - first);
    switch (info.index_encoding) {
      case IndexEncoding::kDense:
        std::iota(indices, indices + count, static_cast<uint32_t>(first));
        break;
      case IndexEncoding::kGap8:
        DecodeGap8Block(GetIndexBlock(parts.index, info.count, info.length, number), indices);
        break;
      case IndexEncoding::kRice:
        DecodeRiceBlock(GetIndexBlock(parts.index, info.count, info.length, number), parts.rice_parameter, indices);
        break;
      case IndexEncoding::kBitmap:
        bitmap.Read(count, indices);
        break;
    }
    DecodeValues(info.value_encoding, parts.values.data(), info.count, first, absl::MakeSpan(values, count));
    visit(absl::MakeConstSpan(indices, count), absl::MakeConstSpan(values, count));
  }
}

}  // namespace

void EncodeSparse(absl::Span<const uint32_t> indices, absl::Span<float> values, uint32_t length,
                  IndexEncoding index_encoding, ValueEncoding value_encoding, std::string* bytes) {
  UpdateInfo info;
  info.index_encoding = index_encoding;
  info.value_encoding = value_encoding;
  info.length = length;
  info.count = static_cast<uint32_t>(indices.size());
  uint8_t rice_parameter = 0;
  bytes->resize(kUpdateHeaderBytes);
  switch (index_encoding) {
    case IndexEncoding::kDense:
      break;
    case IndexEncoding::kGap8:
      AppendGap8(indices, length, bytes);
      break;
    case IndexEncoding::kRice:
      rice_parameter = AppendRice(indices, length, bytes);
      break;
    case IndexEncoding::kBitmap:
      AppendBitmap(indices, length, bytes);
      break;
  }
  info.index_bytes = static_cast<uint32_t>(bytes->size() - kUpdateHeaderBytes);
  AppendValues(value_encoding, values, bytes);
  FinishHeader(info, rice_parameter, bytes);
}

void EncodeDense(absl::Span<float> values, ValueEncoding value_encoding, std::string* bytes) {
  UpdateInfo info;
  info.index_encoding = IndexEncoding::kDense;
  info.value_encoding = value_encoding;
  info.length = info.count = static_cast<uint32_t>(values.size());
  bytes->resize(kUpdateHeaderBytes);
  AppendValues(value_encoding, values, bytes);
  FinishHeader(info, 0, bytes);
}

absl::StatusOr<UpdateInfo> ValidateUpdate(absl::string_view bytes, uint32_t length) {
  absl::StatusOr<UpdateParts> parts = SplitAndValidate(bytes, length);
  if (!parts.ok()) return parts.status();
  return parts->info;
}

absl::Status AddUpdate(absl::string_view bytes, absl::Span<float> target) {
  absl::StatusOr<UpdateParts> parts = SplitAndValidate(bytes, static_cast<uint32_t>(target.size()));
  if (!parts.ok()) return parts.status();
  VisitBlocks(*parts, [target](absl::Span<const uint32_t> indices, absl::Span<const float> values) {
    for (size_t i = 0; i < indices.size(); ++i) target[indices[i]] += values[i];
  });
  return absl::OkStatus();
}

absl::Status ClearAtUpdate(absl::string_view bytes, absl::Span<float> target) {
  absl::StatusOr<UpdateParts> parts = SplitAndValidate(bytes, static_cast<uint32_t>(target.size()));
  if (!parts.ok()) return parts.status();
  VisitBlocks(*parts, [target](absl::Span<const uint32_t> indices, absl::Span<const float>) {
    for (uint32_t index : indices) target[index] = 0;
  });
  return absl::OkStatus();
}

absl::StatusOr<DecodedUpdate> DecodeUpdate(absl::string_view bytes, uint32_t length) {
  absl::StatusOr<UpdateParts> parts = SplitAndValidate(bytes, length);
  if (!parts.ok()) return parts.status();
  DecodedUpdate decoded;
  decoded.indices.reserve(parts->info.count);
  decoded.values.reserve(parts->info.count);
  VisitBlocks(*parts, [&decoded](absl::Span<const uint32_t> indices, absl::Span<const float> values) {
    decoded.indices.insert(decoded.indices.end(), indices.begin(), indices.end());
    decoded.values.insert(decoded.values.end(), values.begin(), values.end());
  });
  return decoded;
}

}  // namespace cddp
