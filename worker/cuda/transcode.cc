#include "worker/cuda/transcode.h"

#include <cstdint>
#include <vector>

#include "common/check/check.h"
#include "common/codec/bitmap.h"
#include "common/codec/gap8.h"
#include "common/codec/rice.h"
#include "common/codec/update_header.h"

namespace cddp {
namespace {

std::vector<uint32_t> IndicesOf(const CheckedUpdate& update) {
  std::vector<uint32_t> indices;
  indices.reserve(update.info().count);
  UpdateReader reader(update);
  while (reader.NextBlock()) indices.insert(indices.end(), reader.indices().begin(), reader.indices().end());
  return indices;
}

}  // namespace

std::string GapsOf(const CheckedUpdate& update) {
  std::string part;
  AppendGap8(IndicesOf(update), update.info().length, &part);
  return part;
}

std::string WithIndexEncoding(const CheckedUpdate& update, IndexEncoding encoding) {
  CDDP_CHECK(encoding != IndexEncoding::kDense && update.info().index_encoding != IndexEncoding::kDense)
      << "a dense update has no indices";
  UpdateInfo info = update.info();
  const std::vector<uint32_t> indices = IndicesOf(update);
  std::string bytes(kUpdateHeaderBytes, '\0');
  uint8_t rice_parameter = 0;
  if (encoding == IndexEncoding::kRice) {
    rice_parameter = AppendRice(indices, info.length, &bytes);
  } else if (encoding == IndexEncoding::kBitmap) {
    AppendBitmap(indices, info.length, &bytes);
  } else {
    AppendGap8(indices, info.length, &bytes);
  }
  info.index_encoding = encoding;
  info.index_bytes = static_cast<uint32_t>(bytes.size() - kUpdateHeaderBytes);
  const absl::string_view from = update.bytes();
  bytes.append(from.data() + from.size() - info.value_bytes, info.value_bytes);
  WriteUpdateHeader(info, rice_parameter, reinterpret_cast<uint8_t*>(bytes.data()));
  return bytes;
}

}  // namespace cddp
