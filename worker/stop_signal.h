// SIGTERM and SIGINT as a wish that the worker ends after its step, with its state saved.

#ifndef WORKER_STOP_SIGNAL_H_
#define WORKER_STOP_SIGNAL_H_

#include <atomic>

#include "absl/time/time.h"

namespace cddp {

// From now on, until the process ends. A worker that has not ended `grace` after the signal, since a step waits for
// others, is ended without its state: the checkpoint before is there. Call once. Returns what becomes true with the
// signal.
const std::atomic<bool>* CatchStopSignals(absl::Duration grace);

// The exit code of a process that ended for the signal: 128 and its number, as a shell has it.
int StopSignalExitCode();

}  // namespace cddp

#endif  // WORKER_STOP_SIGNAL_H_
