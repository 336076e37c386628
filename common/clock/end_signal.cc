#include "common/clock/end_signal.h"

namespace cddp {

void EndSignal::Notify() {
  std::lock_guard lock(mutex_);
  notified_ = true;
  changed_.notify_all();
}

bool EndSignal::HasBeenNotified() const {
  std::lock_guard lock(mutex_);
  return notified_;
}

bool EndSignal::WaitFor(absl::Duration timeout) const {
  std::unique_lock lock(mutex_);
  // wait_for: by the steady clock.
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                           [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return notified_; });
}

}  // namespace cddp
