// Ends the waits of a thread that works periodically. absl::Notification's timed wait follows the wall clock: if that
// is set back by an hour, it waits for an hour longer.

#ifndef COMMON_CLOCK_END_SIGNAL_H_
#define COMMON_CLOCK_END_SIGNAL_H_

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"

namespace cddp {

// Thread-safe.
class EndSignal {
 public:
  void Notify();  // from now on HasBeenNotified
  bool HasBeenNotified() const;
  // Waits until it has been notified, at most `timeout`; returns HasBeenNotified().
  bool WaitFor(absl::Duration timeout) const;

 private:
  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool notified_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace cddp

#endif  // COMMON_CLOCK_END_SIGNAL_H_
