#include "common/codec/update_header.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/codec/little_endian.h"
#include "common/codec/value_codec.h"

namespace cddp {
namespace {

constexpr uint8_t kFormatVersion = 1;

}  // namespace

void WriteUpdateHeader(const UpdateInfo& info, uint8_t rice_parameter, uint8_t* to) {
  to[0] = kFormatVersion;
  to[1] = static_cast<uint8_t>(info.index_encoding);
  to[2] = static_cast<uint8_t>(info.value_encoding);
  to[3] = rice_parameter;
  StoreLe<uint32_t>(info.length, to + 4);
  StoreLe<uint32_t>(info.count, to + 8);
  StoreLe<uint32_t>(info.index_bytes, to + 12);
  StoreLe<uint32_t>(info.value_bytes, to + 16);
}

absl::StatusOr<UpdateParts> SplitUpdate(absl::string_view bytes, uint32_t length) {
  if (bytes.size() < kUpdateHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("update of ", bytes.size(), " bytes is shorter than its header of ", kUpdateHeaderBytes));
  }
  const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
  if (from[0] != kFormatVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("update has format version ", int{from[0]}, ", not ", int{kFormatVersion}));
  }
  if (from[1] > static_cast<uint8_t>(IndexEncoding::kBitmap)) {
    return absl::InvalidArgumentError(absl::StrCat("update has unknown index encoding ", int{from[1]}));
  }
  if (from[2] > static_cast<uint8_t>(ValueEncoding::kTernary)) {
    return absl::InvalidArgumentError(absl::StrCat("update has unknown value encoding ", int{from[2]}));
  }
  UpdateParts parts;
  UpdateInfo& info = parts.info;
  info.index_encoding = static_cast<IndexEncoding>(from[1]);
  info.value_encoding = static_cast<ValueEncoding>(from[2]);
  parts.rice_parameter = from[3];
  info.length = LoadLe<uint32_t>(from + 4);
  info.count = LoadLe<uint32_t>(from + 8);
  info.index_bytes = LoadLe<uint32_t>(from + 12);
  info.value_bytes = LoadLe<uint32_t>(from + 16);
  if (parts.rice_parameter != 0 && info.index_encoding != IndexEncoding::kRice) {
    return absl::InvalidArgumentError("update has a Rice parameter without Rice codes");
  }
  if (info.length != length) {
    return absl::InvalidArgumentError(
        absl::StrCat("update is for a bucket of ", info.length, " elements, this one has ", length));
  }
  if (length > kMaxBucketLength) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket of ", length, " elements is longer than ", kMaxBucketLength));
  }
  if (info.count > length) {
    return absl::InvalidArgumentError(absl::StrCat("update carries ", info.count, " values for ", length, " elements"));
  }
  const uint64_t declared = kUpdateHeaderBytes + uint64_t{info.index_bytes} + info.value_bytes;
  if (declared != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("update declares ", declared, " bytes and has ", bytes.size()));
  }
  if (info.value_bytes != EncodedValueBytes(info.value_encoding, info.count)) {
    return absl::InvalidArgumentError(absl::StrCat("update declares ", info.value_bytes, " bytes for ", info.count, " ",
                                                   Name(info.value_encoding), " values"));
  }
  if (info.index_encoding == IndexEncoding::kDense && (info.count != length || info.index_bytes != 0)) {
    return absl::InvalidArgumentError("dense update has indices or lacks values");
  }
  parts.index = absl::MakeConstSpan(from + kUpdateHeaderBytes, info.index_bytes);
  parts.values = absl::MakeConstSpan(from + kUpdateHeaderBytes + info.index_bytes, info.value_bytes);
  return parts;
}

}  // namespace cddp
