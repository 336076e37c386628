// The clock of tests: a sleep returns at once and advances the clock.

#ifndef COMMON_CLOCK_FAKE_CLOCK_H_
#define COMMON_CLOCK_FAKE_CLOCK_H_

#include <vector>

#include "absl/time/time.h"
#include "common/clock/clock.h"

namespace cddp {

// Not thread-safe.
class FakeClock : public Clock {
 public:
  absl::Duration Now() override { return now_; }
  bool Sleep(absl::Duration pause) override {
    if (ended_) return false;
    sleeps_.push_back(pause);
    now_ += pause;
    return true;
  }
  void Advance(absl::Duration by) { now_ += by; }
  void End() { ended_ = true; }
  const std::vector<absl::Duration>& sleeps() const { return sleeps_; }

 private:
  absl::Duration now_ = absl::Hours(5);
  std::vector<absl::Duration> sleeps_;
  bool ended_ = false;
};

}  // namespace cddp

#endif  // COMMON_CLOCK_FAKE_CLOCK_H_
