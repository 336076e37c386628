// Time that cannot be set, for leases and time-outs. Wall-clock time (absl::Now) is for people.

#ifndef COMMON_CLOCK_MONOTONIC_H_
#define COMMON_CLOCK_MONOTONIC_H_

#include "absl/time/time.h"

namespace cddp {

// Time since some moment in the past, the same for all threads of a process. Thread-safe.
absl::Duration MonotonicNow();

}  // namespace cddp

#endif  // COMMON_CLOCK_MONOTONIC_H_
