#include "common/config/stop_signal.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <thread>

namespace cddp {
namespace {

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

const StopSignal& StopSignal::Install(absl::Duration grace) {
  static auto* stop = new StopSignal;
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([grace] { stop->Wait(grace); }).detach();
  return *stop;
}

void StopSignal::Wait(absl::Duration grace) {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("event=stopping signal={} timeout_seconds={:.1f}", signal, absl::ToDoubleSeconds(grace));
  received_.store(signal, std::memory_order_relaxed);
  const timespec timeout = absl::ToTimespec(grace);
  const bool again = sigtimedwait(&signals, nullptr, &timeout) > 0;
  spdlog::warn("event=stopped_at_once reason=\"{}\"", again ? "a second signal" : "the time to end is over");
  _exit(128 + signal);
}

}  // namespace cddp
