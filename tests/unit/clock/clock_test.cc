#include "common/clock/clock.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"
#include "common/clock/end_signal.h"
#include "common/clock/monotonic.h"
#include "common/clock/running_time.h"
#include "common/clock/steady_time.h"

namespace cddp {
namespace {

TEST(RunningTimeTest, AStandstillDoesNotCount) {
  absl::Duration clock = absl::Hours(5);
  RunningTime time([&clock] { return clock; });
  EXPECT_EQ(time.Now(), absl::ZeroDuration());
  clock += absl::Seconds(1);
  EXPECT_EQ(time.Now(), absl::Seconds(1)) << "no more than kStandstill counts in full";
  clock += absl::Hours(1);  // nobody asked meanwhile
  EXPECT_EQ(time.Now(), absl::Seconds(1) + RunningTime::kStandstill);
  clock += absl::Milliseconds(500);
  EXPECT_EQ(time.Now(), absl::Milliseconds(1500) + RunningTime::kStandstill);
}

TEST(SteadyTimeTest, IsTheWallClockAndGoesOnAsTheMonotonicOneDoes) {
  EXPECT_LT(absl::AbsDuration(SteadyNow() - absl::Now()), absl::Minutes(1));
  const absl::Duration before = MonotonicNow();
  const absl::Time begin = SteadyNow();
  const absl::Duration passed = SteadyNow() - begin;
  EXPECT_GE(passed, absl::ZeroDuration());
  EXPECT_LE(passed, MonotonicNow() - before);
}

TEST(EndSignalTest, EndsAWait) {
  EndSignal end;
  EXPECT_FALSE(end.WaitFor(absl::Milliseconds(1)));
  EXPECT_FALSE(end.HasBeenNotified());
  std::thread waiter([&end] { EXPECT_TRUE(end.WaitFor(absl::Hours(1))); });
  end.Notify();
  waiter.join();
  EXPECT_TRUE(end.HasBeenNotified());
}

TEST(SystemClockTest, SleepsUntilItsEnd) {
  EndSignal end;
  SystemClock clock(&end);
  const absl::Duration begin = clock.Now();
  EXPECT_TRUE(clock.Sleep(absl::Milliseconds(2)));
  EXPECT_GE(clock.Now() - begin, absl::Milliseconds(2));
  std::thread waiter([&clock] { EXPECT_FALSE(clock.Sleep(absl::Hours(1))); });
  end.Notify();
  waiter.join();
  EXPECT_TRUE(SystemClock().Sleep(absl::Milliseconds(1)));
}

}  // namespace
}  // namespace cddp
