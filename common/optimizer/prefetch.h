// Hints to the processor's caches.

#ifndef COMMON_OPTIMIZER_PREFETCH_H_
#define COMMON_OPTIMIZER_PREFETCH_H_

#include <cstddef>

namespace cddp {

// Starts to bring an array into the second cache, to be changed there. Any address does no harm.
inline void PrefetchFloats(const float* values, size_t size) {
  constexpr size_t kLine = 16;  // floats of a cache line
  for (size_t i = 0; i < size; i += kLine) __builtin_prefetch(values + i, /*rw=*/1, /*locality=*/2);
}

}  // namespace cddp

#endif  // COMMON_OPTIMIZER_PREFETCH_H_
