// Time in which this process ran. While it was stopped (SIGSTOP, a paused container, a suspended machine) it could
// receive nothing, so that time must not count as the silence of others.

#ifndef COMMON_CLOCK_RUNNING_TIME_H_
#define COMMON_CLOCK_RUNNING_TIME_H_

#include <functional>

#include "absl/time/time.h"
#include "common/clock/monotonic.h"

namespace cddp {

// Not thread-safe.
class RunningTime {
 public:
  // At most this much counts between two calls of Now, so it must be called more often than that.
  static constexpr absl::Duration kStandstill = absl::Seconds(1);

  // `clock`: monotonic; another one is for tests.
  explicit RunningTime(std::function<absl::Duration()> clock = MonotonicNow)
      : clock_(std::move(clock)), last_(clock_()) {}

  // Running time since this object was made.
  absl::Duration Now();

 private:
  const std::function<absl::Duration()> clock_;
  absl::Duration last_;  // the clock's time at the last call
  absl::Duration run_;
};

}  // namespace cddp

#endif  // COMMON_CLOCK_RUNNING_TIME_H_
