// Hints to the processor's caches.

#ifndef COMMON_OPTIMIZER_PREFETCH_H_
#define COMMON_OPTIMIZER_PREFETCH_H_

#include <cstddef>

namespace cddp {

// Starts to load an array into the L2 cache for writing. Any address is allowed.
inline void PrefetchFloats(const float* values, size_t size) {
  constexpr size_t kLine = 16;  // floats of a cache line
  for (size_t i = 0; i < size; i += kLine) __builtin_prefetch(values + i, /*rw=*/1, /*locality=*/2);
}

}  // namespace cddp

#endif  // COMMON_OPTIMIZER_PREFETCH_H_
