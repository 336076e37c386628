#include "common/compress/bucket_compressor.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "common/compress/top_k_compressor.h"

namespace cddp {

bool AbslParseFlag(absl::string_view text, Selection* selection, std::string* error) {
  for (Selection candidate : {Selection::kTopK, Selection::kThreshold}) {
    if (text == AbslUnparseFlag(candidate)) {
      *selection = candidate;
      return true;
    }
  }
  *error = "use top_k or threshold";
  return false;
}

std::string AbslUnparseFlag(Selection selection) { return selection == Selection::kTopK ? "top_k" : "threshold"; }

uint32_t SelectedCount(uint32_t length, double ratio) {
  const double count = std::floor(ratio * length + 0.5);
  return static_cast<uint32_t>(std::clamp(count, 1.0, static_cast<double>(length)));
}

absl::StatusOr<std::unique_ptr<BucketCompressor>> BucketCompressor::Create(uint32_t length,
                                                                           const CompressorOptions& options) {
  if (length == 0 || length > kMaxBucketLength) {
    return absl::InvalidArgumentError(absl::StrCat("bucket of ", length, " elements; use 1 to ", kMaxBucketLength));
  }
  if (!(options.ratio > 0 && options.ratio <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("ratio ", options.ratio, " is outside (0, 1]"));
  }
  if (options.index_encoding == IndexEncoding::kDense && options.ratio < 1) {
    return absl::InvalidArgumentError("dense index encoding needs ratio 1");
  }
  uint32_t begin = 0;
  for (const BucketSlice& slice : options.always_sent) {
    if (slice.begin < begin || slice.end < slice.begin || slice.end > length) {
      return absl::InvalidArgumentError(absl::StrCat("slice [", slice.begin, ", ", slice.end,
                                                     ") of always_sent is out of ", "order or outside the bucket of ",
                                                     length));
    }
    begin = slice.end;
  }
  return std::make_unique<TopKCompressor>(length, options);
}

}  // namespace cddp
