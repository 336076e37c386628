// A mutex whose rules clang checks: data marked ABSL_GUARDED_BY(mutex_) is accessed only under the lock, functions
// marked ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) are called only under it. std::mutex carries no such annotations, and
// the thread sanitizer does not understand a prebuilt absl::Mutex. scripts/lint compiles with -Werror=thread-safety.
//
//   Mutex mutex_;
//   CondVar changed_;
//   bool done_ ABSL_GUARDED_BY(mutex_) = false;
//
//   MutexLock lock(mutex_);
//   changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_; });

#ifndef COMMON_SYNC_MUTEX_H_
#define COMMON_SYNC_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace cddp {

// Not recursive.
class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

  // Tells the compiler that this thread holds the lock, where it cannot see that. Checks nothing at run time.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds the lock for as long as it lives, except between Unlock and Lock.
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

// All waits of one CondVar must use the same mutex. They use the monotonic clock, so setting the wall clock moves none.
class CondVar {
 public:
  using Clock = std::chrono::steady_clock;

  // May also return without a notification; the forms with a predicate do not.
  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }
  void WaitUntil(Mutex& mutex, Clock::time_point deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (deadline == Clock::time_point::max()) return Wait(mutex);
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    changed_.wait_until(lock, deadline);
    lock.release();
  }

  // `done` is called under the lock. clang's analysis ends at this call: it cannot know that `mutex` is the one named
  // by the caller's lambda.
  template <typename Predicate>
  void Wait(Mutex& mutex, Predicate done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    while (!done()) Wait(mutex);
  }
  // Returns done(), false only after the deadline.
  template <typename Predicate>
  bool WaitUntil(Mutex& mutex, Clock::time_point deadline, Predicate done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    while (!done()) {
      if (Clock::now() >= deadline) return false;
      WaitUntil(mutex, deadline);
    }
    return true;
  }
  template <typename Predicate>
  bool WaitFor(Mutex& mutex, absl::Duration timeout, Predicate done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const Clock::time_point now = Clock::now();
    const bool ends = timeout < absl::FromChrono(Clock::time_point::max() - now);
    return WaitUntil(mutex, ends ? now + absl::ToChronoNanoseconds(timeout) : Clock::time_point::max(), done);
  }

  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

}  // namespace cddp

#endif  // COMMON_SYNC_MUTEX_H_
