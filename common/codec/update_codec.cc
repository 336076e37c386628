#include "common/codec/update_codec.h"

#include <algorithm>
#include <numeric>

#include "common/codec/bitmap.h"
#include "common/codec/gap8.h"
#include "common/codec/rice.h"
#include "common/codec/update_header.h"
#include "common/codec/update_reader.h"
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

void EncodeAll(absl::Span<float> values, ValueEncoding value_encoding, std::string* bytes) {
  const size_t value_bytes = EncodedValueBytes(value_encoding, 1);
  const bool by_itself = EncodedValueBytes(value_encoding, 1024) == 1024 * value_bytes;
  const auto zeros = static_cast<size_t>(std::count(values.begin(), values.end(), 0.0f));
  const size_t rest = values.size() - zeros;
  // An index takes a byte, and one more for each 255 elements passed.
  const size_t sparse_bytes = rest * (value_bytes + 1) + values.size() / 255;
  if (!by_itself || sparse_bytes >= values.size() * value_bytes) return EncodeDense(values, value_encoding, bytes);

  std::vector<uint32_t> indices(rest + 1);  // one more is written after the last, and dropped
  std::vector<float> kept(rest + 1);
  size_t count = 0;
  for (size_t i = 0; i < values.size() && count < rest; ++i) {
    indices[count] = static_cast<uint32_t>(i);
    kept[count] = values[i];
    count += values[i] != 0 ? 1 : 0;
  }
  indices.resize(rest);
  kept.resize(rest);
  EncodeSparse(indices, absl::MakeSpan(kept), static_cast<uint32_t>(values.size()), IndexEncoding::kGap8,
               value_encoding, bytes);
  for (size_t i = 0; i < rest; ++i) values[indices[i]] = kept[i];
}

absl::StatusOr<UpdateInfo> ValidateUpdate(absl::string_view bytes, uint32_t length) {
  absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, length);
  if (!update.ok()) return update.status();
  return update->info();
}

absl::Status AddUpdate(absl::string_view bytes, absl::Span<float> target) {
  absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, static_cast<uint32_t>(target.size()));
  if (!update.ok()) return update.status();
  UpdateReader(*update).AddTo(0, 1, target);
  return absl::OkStatus();
}

absl::Status ClearAtUpdate(absl::string_view bytes, absl::Span<float> target) {
  absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, static_cast<uint32_t>(target.size()));
  if (!update.ok()) return update.status();
  if (update->info().index_encoding == IndexEncoding::kDense) {
    std::fill(target.begin(), target.end(), 0.0f);
    return absl::OkStatus();
  }
  UpdateReader reader(*update);
  while (reader.NextBlock()) {
    for (uint32_t index : reader.indices()) target[index] = 0;
  }
  return absl::OkStatus();
}

absl::StatusOr<DecodedUpdate> DecodeUpdate(absl::string_view bytes, uint32_t length) {
  absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, length);
  if (!update.ok()) return update.status();
  const UpdateInfo& info = update->info();
  DecodedUpdate decoded;
  decoded.indices.reserve(info.count);
  decoded.values.reserve(info.count);
  UpdateReader reader(*update);
  while (reader.NextBlock()) {
    if (info.index_encoding != IndexEncoding::kDense) {
      decoded.indices.insert(decoded.indices.end(), reader.indices().begin(), reader.indices().end());
    }
    decoded.values.insert(decoded.values.end(), reader.values().begin(), reader.values().end());
  }
  if (info.index_encoding == IndexEncoding::kDense) {
    decoded.indices.resize(info.count);
    std::iota(decoded.indices.begin(), decoded.indices.end(), 0u);
  }
  return decoded;
}

}  // namespace cddp
