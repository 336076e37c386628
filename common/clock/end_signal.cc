#include "common/clock/end_signal.h"

namespace cddp {

void EndSignal::Notify() {
  MutexLock lock(mutex_);
  notified_ = true;
  changed_.NotifyAll();
}

bool EndSignal::HasBeenNotified() const {
  MutexLock lock(mutex_);
  return notified_;
}

bool EndSignal::WaitFor(absl::Duration timeout) const {
  MutexLock lock(mutex_);
  return changed_.WaitFor(mutex_, timeout, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return notified_; });
}

}  // namespace cddp
