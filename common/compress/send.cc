#include "common/compress/send.h"

#include <algorithm>

#include "common/check/check.h"
#include "common/codec/update_codec.h"
#include "common/codec/value_codec.h"

namespace cddp {
CompressResult SendSparse(absl::Span<const uint32_t> indices, absl::Span<const float> values, double sum_sq,
                          IndexEncoding index_encoding, ValueEncoding value_encoding, absl::Span<float> residual,
                          std::vector<float>* decoded, std::string* update) {
  CDDP_CHECK(indices.size() == values.size()) << indices.size() << " indices, " << values.size() << " values";
  decoded->assign(values.begin(), values.end());
  EncodeSparse(indices, absl::MakeSpan(*decoded), static_cast<uint32_t>(residual.size()), index_encoding,
               value_encoding, update);
  double sent_sq = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    const float error = values[i] - (*decoded)[i];
    residual[indices[i]] = error;
    sent_sq += static_cast<double>(values[i]) * values[i] - static_cast<double>(error) * error;
  }
  CompressResult result;
  result.selected = static_cast<uint32_t>(indices.size());
  result.residual_sq = std::max(0.0, sum_sq - sent_sq);
  return result;
}

CompressResult SendSmallest(absl::Span<const uint32_t> indices, absl::Span<const float> values, double sum_sq,
                            const CompressorOptions& options, absl::Span<float> residual, std::vector<float>* decoded,
                            std::string* update) {
  const auto length = static_cast<uint32_t>(residual.size());
  const auto count = static_cast<uint32_t>(indices.size());
  const size_t with_bitmap = EncodedValueBytes(options.value_encoding, count) + (residual.size() + 7) / 8;
  if (options.index_encoding == IndexEncoding::kDense ||
      with_bitmap >= EncodedValueBytes(options.value_encoding, residual.size())) {
    return SendDense(options.value_encoding, residual, decoded, update);
  }
  return SendSparse(indices, values, sum_sq, OrBitmap(options.index_encoding, length, count), options.value_encoding,
                    residual, decoded, update);
}

CompressResult SendDense(ValueEncoding value_encoding, absl::Span<float> residual, std::vector<float>* decoded,
                         std::string* update) {
  decoded->assign(residual.begin(), residual.end());
  EncodeAll(absl::MakeSpan(*decoded), value_encoding, update);
  CompressResult result;
  result.selected = static_cast<uint32_t>(residual.size());
  for (size_t i = 0; i < residual.size(); ++i) {
    residual[i] -= (*decoded)[i];
    result.residual_sq += static_cast<double>(residual[i]) * residual[i];
  }
  return result;
}

}  // namespace cddp
