// NaN and infinity in a buffer.

#ifndef COMMON_COMPRESS_FINITE_H_
#define COMMON_COMPRESS_FINITE_H_

#include "absl/types/span.h"

namespace cddp {

// One pass at memory speed. Any thread.
bool AllFinite(absl::Span<const float> values);

// Sums of finite values that have overflowed count as the largest float of their sign.
void Saturate(absl::Span<float> values);

}  // namespace cddp

#endif  // COMMON_COMPRESS_FINITE_H_
