// Top-k by sorting: the reference for the compressor's result.

#ifndef TESTS_UNIT_COMPRESS_REFERENCE_H_
#define TESTS_UNIT_COMPRESS_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "absl/types/span.h"
#include "common/compress/bucket_compressor.h"

namespace cddp {

// What must be sent of `compensated`: always_sent, and the k largest of the others, ties to the lowest index.
inline std::vector<uint32_t> ReferenceTopK(absl::Span<const float> compensated, const CompressorOptions& options) {
  std::vector<bool> forced(compensated.size());
  for (const BucketSlice& slice : options.always_sent) {
    std::fill(forced.begin() + slice.begin, forced.begin() + slice.end, true);
  }
  std::vector<uint32_t> chosen, others;
  for (uint32_t i = 0; i < compensated.size(); ++i) (forced[i] ? chosen : others).push_back(i);
  std::stable_sort(others.begin(), others.end(), [compensated](uint32_t a, uint32_t b) {
    return std::fabs(compensated[a]) > std::fabs(compensated[b]);
  });
  const size_t k = others.empty() ? 0 : SelectedCount(static_cast<uint32_t>(others.size()), options.ratio);
  chosen.insert(chosen.end(), others.begin(), others.begin() + static_cast<ptrdiff_t>(k));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

inline std::vector<float> Sum(absl::Span<const float> a, absl::Span<const float> b) {
  std::vector<float> sum(a.begin(), a.end());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

}  // namespace cddp

#endif  // TESTS_UNIT_COMPRESS_REFERENCE_H_
