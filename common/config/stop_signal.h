// SIGTERM and SIGINT as a request that a loop checks between two pieces of work.

#ifndef COMMON_CONFIG_STOP_SIGNAL_H_
#define COMMON_CONFIG_STOP_SIGNAL_H_

#include "absl/time/time.h"

namespace cddp {

// One per process, for the process's lifetime. It uses a signal handler, because libraries may have started threads
// before main(), and these would receive a signal that all others block, and die of it.
class StopSignal {
 public:
  // After the first signal the process has `grace` to end by itself; then, or at a second signal, it exits with code
  // 128 + the signal's number, as a shell reports for a process that died of the signal.
  static const StopSignal& Install(absl::Duration grace);

  // The first signal; 0: none so far. From any thread.
  int received() const;

 private:
  StopSignal() = default;
};

}  // namespace cddp

#endif  // COMMON_CONFIG_STOP_SIGNAL_H_
