#include "common/sync/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace cddp {
namespace {

class Box {
 public:
  void Add(int by) {
    MutexLock lock(mutex_);
    value_ += by;
    changed_.NotifyAll();
  }
  void WaitFor(int value) {
    MutexLock lock(mutex_);
    changed_.Wait(mutex_, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return value_ == value; });
  }
  bool WaitFor(int value, absl::Duration timeout) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(mutex_, timeout, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return value_ == value; });
  }
  // The lock is let go between the reading and the writing.
  void AddInTwoParts(int by) {
    MutexLock lock(mutex_);
    const int half = by / 2;
    value_ += half;
    lock.Unlock();
    std::this_thread::yield();
    lock.Lock();
    value_ += by - half;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int value_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(MutexTest, EveryChangeCounts) {
  Box box;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&box] {
      for (int k = 0; k < 1000; ++k) k % 2 == 0 ? box.Add(3) : box.AddInTwoParts(3);
    });
  }
  box.WaitFor(12000);
  for (std::thread& thread : threads) thread.join();
}

TEST(CondVarTest, ATimedWaitSaysWhetherTheConditionHolds) {
  Box box;
  EXPECT_FALSE(box.WaitFor(1, absl::Milliseconds(1)));
  EXPECT_FALSE(box.WaitFor(1, -absl::InfiniteDuration()));
  box.Add(1);
  EXPECT_TRUE(box.WaitFor(1, absl::ZeroDuration()));
}

TEST(CondVarTest, AnEndlessTimeoutDoesNotOverflow) {
  Box box;
  std::thread adder([&box] { box.Add(1); });
  EXPECT_TRUE(box.WaitFor(1, absl::InfiniteDuration()));
  EXPECT_TRUE(box.WaitFor(1, absl::Hours(24 * 365 * 1000)));
  adder.join();
}

}  // namespace
}  // namespace cddp
