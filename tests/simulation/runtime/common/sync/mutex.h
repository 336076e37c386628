// The simulation's common/sync/mutex.h: the same interface on its fibers and its time. In a namespace of its own, so
// that libraries with the real one may be linked beside it.

#ifndef TESTS_SIMULATION_RUNTIME_COMMON_SYNC_MUTEX_H_
#define TESTS_SIMULATION_RUNTIME_COMMON_SYNC_MUTEX_H_

#include <chrono>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "common/check/check.h"
#include "tests/simulation/runtime/kernel.h"

namespace cddp {
inline namespace simulated {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    if (simulation::Kernel::Running()) {
      simulation::Kernel& kernel = simulation::Kernel::Get();
      kernel.MayPreempt();
      while (held_) kernel.Wait(&waiting_);
    }
    held_ = true;
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    held_ = false;
    if (!waiting_.empty()) simulation::Kernel::Get().WakeOne(&waiting_);
  }
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() { CDDP_CHECK(held_) << "a lock is not held"; }

 private:
  bool held_ = false;
  simulation::WaitQueue waiting_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {
    if (held_) mutex_.Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void Unlock() ABSL_UNLOCK_FUNCTION() {
    mutex_.Unlock();
    held_ = false;
  }
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mutex_.Lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

class CondVar {
 public:
  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    WaitUntil(mutex, absl::InfiniteDuration());
  }
  template <typename Predicate>
  void Wait(Mutex& mutex, Predicate done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    while (!done()) Wait(mutex);
  }
  template <typename Predicate>
  bool WaitFor(Mutex& mutex, absl::Duration timeout, Predicate done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const absl::Duration deadline = simulation::Kernel::Get().Now() + timeout;
    while (!done()) {
      if (simulation::Kernel::Get().Now() >= deadline) return false;
      WaitUntil(mutex, deadline);
    }
    return true;
  }

  void NotifyOne() {
    if (!waiting_.empty()) simulation::Kernel::Get().WakeOne(&waiting_);
  }
  void NotifyAll() {
    if (!waiting_.empty()) simulation::Kernel::Get().WakeAll(&waiting_);
  }

 private:
  void WaitUntil(Mutex& mutex, absl::Duration deadline) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    mutex.Unlock();
    simulation::Kernel::Get().Wait(&waiting_, deadline);
    mutex.Lock();
  }

  simulation::WaitQueue waiting_;
};

}  // namespace simulated
}  // namespace cddp

#endif  // TESTS_SIMULATION_RUNTIME_COMMON_SYNC_MUTEX_H_
