// A clock that tests can replace, for code that waits.

#ifndef COMMON_CLOCK_CLOCK_H_
#define COMMON_CLOCK_CLOCK_H_

#include "absl/time/time.h"
#include "common/clock/end_signal.h"

namespace cddp {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Time since some moment in the past; never goes back.
  virtual absl::Duration Now() = 0;
  // Returns true after `pause`, or false earlier when the waiting thread must end.
  virtual bool Sleep(absl::Duration pause) = 0;
};

// MonotonicNow. `end`, if not null, must outlive the clock and ends its sleeps.
class SystemClock : public Clock {
 public:
  explicit SystemClock(const EndSignal* end = nullptr) : end_(end) {}
  absl::Duration Now() override;
  bool Sleep(absl::Duration pause) override;

 private:
  const EndSignal* const end_;
};

}  // namespace cddp

#endif  // COMMON_CLOCK_CLOCK_H_
