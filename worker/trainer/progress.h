// A worker's progress: JSON lines on standard output for `cddp train`, plain log lines otherwise.

#ifndef WORKER_TRAINER_PROGRESS_H_
#define WORKER_TRAINER_PROGRESS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "worker/exchange/send_level.h"

namespace cddp {

// Sums since the epoch's start.
struct EpochTotals {
  uint64_t steps = 0;
  uint64_t refused_steps = 0;
  double loss = 0;  // sum of the steps' mean losses
  double step_seconds = 0;
  double compute_seconds = 0;
  double compress_seconds = 0;
  double exchange_seconds = 0;
  double evaluate_seconds = 0;
  uint64_t pushed_bytes = 0;
  uint64_t pulled_bytes = 0;
};

struct JoinedEvent {
  std::string model;
  uint64_t parameters = 0;
  uint64_t tensors = 0;
  uint64_t buckets = 0;
  uint64_t steps_per_epoch = 0;
};

struct TestResult {
  double loss = 0;
  double accuracy = 0;  // in [0, 1]; NaN: the model has none
};

// Not thread-safe.
class Progress {
 public:
  // `json`: JSON lines on standard output, flushed one by one; otherwise log lines of key=value.
  Progress(uint32_t rank, bool json) : rank_(rank), json_(json) {}

  void Joined(const JoinedEvent& event);
  // Tells at most twice a second. `epoch` counts from 1.
  void Step(uint64_t epoch, double last_loss, const EpochTotals& totals);
  // `dense_bytes`: what dense float32 gradients would have pushed. `test` only where this worker evaluates.
  void Epoch(uint64_t epoch, const EpochTotals& totals, uint64_t dense_bytes, const std::optional<TestResult>& test);
  // What is sent from `step` on (--ratio=auto).
  void Ratio(uint64_t step, const SendLevel& level);
  // What rounds make from that of `exchange` on (--local_steps=auto).
  void LocalSteps(uint64_t exchange, uint32_t steps);
  void Done(uint64_t steps, uint32_t weights_crc32c);

 private:
  const uint32_t rank_;
  const bool json_;
  absl::Duration told_ = -absl::InfiniteDuration();  // MonotonicNow()
};

}  // namespace cddp

#endif  // WORKER_TRAINER_PROGRESS_H_
