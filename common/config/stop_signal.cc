#include "common/config/stop_signal.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/time/time.h"

namespace cddp {
namespace {

std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);  // for the handler
sem_t arrived;                                         // one for each signal

void TakeSignal(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  sem_post(&arrived);
}

void Wait(absl::Duration grace) {
  while (sem_wait(&arrived) != 0) {
  }
  const int signal = first_signal;
  spdlog::info("event=stopping signal={} timeout_seconds={:.1f}", signal, absl::ToDoubleSeconds(grace));
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const timespec deadline = absl::ToTimespec(absl::DurationFromTimespec(now) + grace);
  int waited;
  do {
    waited = sem_clockwait(&arrived, CLOCK_MONOTONIC, &deadline);
  } while (waited != 0 && errno == EINTR);
  spdlog::warn("event=stopped_at_once reason=\"{}\"", waited == 0 ? "a second signal" : "the time to end is over");
  _exit(128 + signal);
}

}  // namespace

const StopSignal& StopSignal::Install(absl::Duration grace) {
  static const StopSignal stop;
  sem_init(&arrived, 0, 0);
  std::thread(Wait, grace).detach();
  struct sigaction action = {};
  action.sa_handler = TakeSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
  return stop;
}

int StopSignal::received() const { return first_signal.load(std::memory_order_relaxed); }

}  // namespace cddp
