// Finds a lower threshold for top-k when none is carried over: a cheap estimate, and an exact search that works for
// any distribution. Keys are magnitude bits (candidates.h).

#ifndef COMMON_COMPRESS_THRESHOLD_SEARCH_H_
#define COMMON_COMPRESS_THRESHOLD_SEARCH_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "common/compress/bucket_compressor.h"
#include "common/compress/candidates.h"

namespace cddp {

// A key that about k of the elements a[i] + b[i] reach, and most likely at least k: estimated from some 16k of them,
// minus four standard deviations. An empty `b` means zeros. Samples are whole cache lines at scattered places that
// depend on the length alone.
uint32_t EstimateLeastKey(absl::Span<const float> a, absl::Span<const float> b, size_t k);

// Collects the `k` elements of largest magnitude within `slices` (k at most their total length; ties to the lowest
// index), and possibly others, if they fit. Returns a key that all collected ones reach. Up to four passes (a radix
// search with digits of 11, 10 and 10 bits), each over memory that is likely still in the cache.
uint32_t CollectLargest(absl::Span<const float> values, absl::Span<const BucketSlice> slices, size_t k,
                        Candidates* candidates);

}  // namespace cddp

#endif  // COMMON_COMPRESS_THRESHOLD_SEARCH_H_
