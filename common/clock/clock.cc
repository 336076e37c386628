#include "common/clock/clock.h"

#include "absl/time/clock.h"
#include "common/clock/monotonic.h"

namespace cddp {

absl::Duration SystemClock::Now() { return MonotonicNow(); }

bool SystemClock::Sleep(absl::Duration pause) {
  if (end_ != nullptr) return !end_->WaitFor(pause);
  absl::SleepFor(pause);
  return true;
}

}  // namespace cddp
