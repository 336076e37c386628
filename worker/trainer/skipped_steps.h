// Steps that changed nothing because the loss or a gradient was not finite: when they end a training, and how they
// affect its result. A pure state machine.

#ifndef WORKER_TRAINER_SKIPPED_STEPS_H_
#define WORKER_TRAINER_SKIPPED_STEPS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace cddp {

// Not thread-safe.
class SkippedSteps {
 public:
  // `stop_at_once`: the first ends the training. `most_in_row`: rounds of which every step was skipped, in a row, that
  // end it; 0: any number.
  SkippedSteps(bool stop_at_once, uint64_t most_in_row) : stop_at_once_(stop_at_once), most_in_row_(most_in_row) {}

  // The round of `exchange` is over: of its `steps`, with this mean loss, `skipped` changed nothing.
  // FailedPrecondition, saying what to do, if the training shall end.
  absl::Status NoteRound(uint64_t exchange, uint64_t steps, uint64_t skipped, double loss);

  double last_loss() const { return last_loss_; }

  // Of a training that is over: FailedPrecondition if it diverged.
  absl::Status Judge() const;

 private:
  const bool stop_at_once_;
  const uint64_t most_in_row_;
  // Since this process's start:
  uint64_t steps_ = 0;
  uint64_t skipped_ = 0;
  uint64_t skipped_in_row_ = 0;
  double last_loss_ = 0;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_SKIPPED_STEPS_H_
