// SIGTERM and SIGINT as a request that a loop looks at between two pieces of work.

#ifndef COMMON_CONFIG_STOP_SIGNAL_H_
#define COMMON_CONFIG_STOP_SIGNAL_H_

#include "absl/time/time.h"

namespace cddp {

// One a process; it lives as long as the process. A handler, for libraries may have started threads before main(),
// which would take a signal that is blocked in all others and die of it.
class StopSignal {
 public:
  // After the first signal the process has `grace` to end by itself; then, or at a second signal, it is ended with the
  // exit code 128 + the signal's number, as a shell shows a process that died of it.
  static const StopSignal& Install(absl::Duration grace);

  // The first signal; 0: none so far. From any thread.
  int received() const;

 private:
  StopSignal() = default;
};

}  // namespace cddp

#endif  // COMMON_CONFIG_STOP_SIGNAL_H_
