// Is a buffer free of NaN and infinity?

#ifndef COMMON_COMPRESS_FINITE_H_
#define COMMON_COMPRESS_FINITE_H_

#include "absl/types/span.h"

namespace cddp {

// One pass at memory speed. Any thread.
bool AllFinite(absl::Span<const float> values);

}  // namespace cddp

#endif  // COMMON_COMPRESS_FINITE_H_
