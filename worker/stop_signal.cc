#include "worker/stop_signal.h"

#include <semaphore.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/time/clock.h"

namespace cddp {
namespace {

// A handler, not sigwait: libraries have started threads before main() that do not block the signals.
std::atomic<int> caught{0};
std::atomic<bool> wanted{false};
sem_t arrived;

void Handle(int signal) {
  const int saved = errno;
  int none = 0;
  if (caught.compare_exchange_strong(none, signal)) {
    wanted = true;
    sem_post(&arrived);
  }
  errno = saved;
}

void Watch(absl::Duration grace) {
  while (sem_wait(&arrived) != 0) continue;  // interrupted
  absl::SleepFor(grace);
  spdlog::warn("event=ended_in_a_step signal={} reason=\"the step waits for others; the last checkpoint is kept\"",
               caught.load());
  _exit(StopSignalExitCode());
}

}  // namespace

const std::atomic<bool>* CatchStopSignals(absl::Duration grace) {
  sem_init(&arrived, 0, 0);
  std::thread(Watch, grace).detach();
  struct sigaction action = {};
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  return &wanted;
}

int StopSignalExitCode() { return 128 + caught; }

}  // namespace cddp
