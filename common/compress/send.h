// The last step of a compression: it encodes the selected elements, and leaves the rounding error in the residual.

#ifndef COMMON_COMPRESS_SEND_H_
#define COMMON_COMPRESS_SEND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "common/compress/bucket_compressor.h"

namespace cddp {

// Encodes `values`, which are those of the residual at `indices` (ascending), replaces *update by the bytes, and leaves
// value - decoded value in the residual there. `sum_sq`: of the residual before. *decoded is scratch memory, and then
// holds the decoded values.
CompressResult SendSparse(absl::Span<const uint32_t> indices, absl::Span<const float> values, double sum_sq,
                          IndexEncoding index_encoding, ValueEncoding value_encoding, absl::Span<float> residual,
                          std::vector<float>* decoded, std::string* update);

// The same in the smallest form: with a bitmap instead of options.index_encoding where that is smaller, or with every
// element where that is smaller. The form depends on the number of indices alone.
CompressResult SendSmallest(absl::Span<const uint32_t> indices, absl::Span<const float> values, double sum_sq,
                            const CompressorOptions& options, absl::Span<float> residual, std::vector<float>* decoded,
                            std::string* update);

// The same for every element of the residual (or for all that are not zero, if that is smaller and equally exact).
CompressResult SendDense(ValueEncoding value_encoding, absl::Span<float> residual, std::vector<float>* decoded,
                         std::string* update);

}  // namespace cddp

#endif  // COMMON_COMPRESS_SEND_H_
