// Times that people read and that may be subtracted: the wall clock as it was when this process first asked, and from
// then on as far as MonotonicNow went. Setting the wall clock changes no difference of two of them.
//
// absl::Now is for what others must understand at once: the age of certificates, file names, a worker's incarnation.
// scripts/lint names the files that may use it.

#ifndef COMMON_CLOCK_STEADY_TIME_H_
#define COMMON_CLOCK_STEADY_TIME_H_

#include "absl/time/time.h"

namespace cddp {

// Thread-safe.
absl::Time SteadyNow();

}  // namespace cddp

#endif  // COMMON_CLOCK_STEADY_TIME_H_
