#include "common/transport/deadline.h"

#include <algorithm>

namespace cddp {

gpr_timespec DeadlineIn(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const absl::Duration least = std::max(timeout, absl::ZeroDuration());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(absl::ToInt64Nanoseconds(least), GPR_TIMESPAN));
}

}  // namespace cddp
