// Time in which this process ran. While it stood still (SIGSTOP, a paused container, a suspended machine) it could hear
// nobody, so that time must not count as others' silence.

#ifndef COMMON_CLOCK_RUNNING_TIME_H_
#define COMMON_CLOCK_RUNNING_TIME_H_

#include <functional>

#include "absl/time/time.h"
#include "common/clock/monotonic.h"

namespace cddp {

// Not thread-safe.
class RunningTime {
 public:
  // Between two calls of Now no more than this is counted: somebody must ask more often than that.
  static constexpr absl::Duration kStandstill = absl::Seconds(1);

  // `clock`: monotonic; another one is for tests.
  explicit RunningTime(std::function<absl::Duration()> clock = MonotonicNow)
      : clock_(std::move(clock)), last_(clock_()) {}

  // Since this object was made.
  absl::Duration Now();

 private:
  const std::function<absl::Duration()> clock_;
  absl::Duration last_;  // what the clock said then
  absl::Duration run_;
};

}  // namespace cddp

#endif  // COMMON_CLOCK_RUNNING_TIME_H_
