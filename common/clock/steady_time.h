// Times for people that may also be subtracted: the wall clock's time at this process's first call, plus MonotonicNow's
// progress since then. Setting the wall clock changes no difference of two such times.
//
// absl::Now is for times that other processes compare: the age of certificates, file names, a worker's incarnation.
// scripts/lint names the files that may use it.

#ifndef COMMON_CLOCK_STEADY_TIME_H_
#define COMMON_CLOCK_STEADY_TIME_H_

#include "absl/time/time.h"

namespace cddp {

// Thread-safe.
absl::Time SteadyNow();

}  // namespace cddp

#endif  // COMMON_CLOCK_STEADY_TIME_H_
