#include "common/clock/steady_time.h"

#include "absl/time/clock.h"
#include "common/clock/monotonic.h"

namespace cddp {

absl::Time SteadyNow() {
  static const absl::Time zero = absl::Now() - MonotonicNow();
  return zero + MonotonicNow();
}

}  // namespace cddp
