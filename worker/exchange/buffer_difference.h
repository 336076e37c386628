// The values that a worker pushes for its buffers instead of a gradient.

#ifndef WORKER_EXCHANGE_BUFFER_DIFFERENCE_H_
#define WORKER_EXCHANGE_BUFFER_DIFFERENCE_H_

#include <cmath>
#include <cstddef>

#include "absl/types/span.h"

namespace cddp {

// difference = published - own, with a gradient's sign: servers that subtract the mean from the published buffers get
// the mean of the workers' own. For an element that is not finite any more the difference is 0, because unlike a
// gradient's its damage would outlast the step.
inline void BufferDifference(absl::Span<const float> published, absl::Span<const float> own,
                             absl::Span<float> difference) {
  for (size_t i = 0; i < difference.size(); ++i) {
    const float moved = published[i] - own[i];
    difference[i] = std::isfinite(moved) ? moved : 0.0f;
  }
}

}  // namespace cddp

#endif  // WORKER_EXCHANGE_BUFFER_DIFFERENCE_H_
