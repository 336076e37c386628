// Waits for a condition instead of a fixed time.

#ifndef TESTS_SUPPORT_EVENTUALLY_H_
#define TESTS_SUPPORT_EVENTUALLY_H_

#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cddp {

// Polls until the condition holds; false after `patience`, which only a broken program reaches.
inline bool Eventually(const std::function<bool()>& condition, absl::Duration patience = absl::Seconds(120)) {
  for (const absl::Time deadline = absl::Now() + patience; absl::Now() < deadline;) {
    if (condition()) return true;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return false;
}

}  // namespace cddp

#endif  // TESTS_SUPPORT_EVENTUALLY_H_
