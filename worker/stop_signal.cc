#include "worker/stop_signal.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <thread>

#include "absl/time/clock.h"

namespace cddp {

StopSignal::StopSignal(absl::Duration grace) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  std::thread([this, grace] { Watch(grace); }).detach();
}

void StopSignal::Watch(absl::Duration grace) {
  int signal = 0;
  sigwait(&signals_, &signal);
  signal_ = signal;
  wanted_ = true;
  absl::SleepFor(grace);
  spdlog::warn("event=ended_in_a_step signal={} reason=\"the step waits for others; the last checkpoint is kept\"",
               signal);
  _exit(exit_code());
}

}  // namespace cddp
