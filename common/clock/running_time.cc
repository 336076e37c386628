#include "common/clock/running_time.h"

#include <algorithm>

namespace cddp {

absl::Duration RunningTime::Now() {
  const absl::Duration now = clock_();
  run_ += std::min(now - last_, kStandstill);
  last_ = now;
  return run_;
}

}  // namespace cddp
