// SIGTERM and SIGINT as a wish that the worker ends after its step, with its state saved.

#ifndef WORKER_STOP_SIGNAL_H_
#define WORKER_STOP_SIGNAL_H_

#include <signal.h>

#include <atomic>

#include "absl/time/time.h"

namespace cddp {

// To be made before other threads, one in a process; it lives as long as the process. A worker that has not ended
// `grace` after the signal, since a step waits for others, is ended without its state: the checkpoint before is there.
class StopSignal {
 public:
  explicit StopSignal(absl::Duration grace);

  // Becomes true with the signal.
  const std::atomic<bool>* wanted() const { return &wanted_; }

  // The exit code of a process that ended for the signal: 128 and its number, as a shell has it.
  int exit_code() const { return 128 + signal_; }

 private:
  void Watch(absl::Duration grace);

  sigset_t signals_;
  std::atomic<int> signal_{0};
  std::atomic<bool> wanted_{false};
};

}  // namespace cddp

#endif  // WORKER_STOP_SIGNAL_H_
