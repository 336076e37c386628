// The outputs by which a run is observed: progress lines, log, metrics port, TensorBoard and trace.

#ifndef WORKER_TRAINER_RUN_VIEW_H_
#define WORKER_TRAINER_RUN_VIEW_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/metrics/metrics_server.h"
#include "common/tensorboard/event_file.h"
#include "common/trace/trace_file.h"
#include "worker/checkpoint/remade_buckets.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/exchange/send_level.h"
#include "worker/trainer/progress.h"
#include "worker/trainer/trainer.h"
#include "worker/trainer/worker_metrics.h"

namespace cddp {

// "Steps" are the training's, "exchanges" count from 1. Not thread-safe.
class RunView {
 public:
  RunView(uint32_t rank, bool json_progress) : rank_(rank), metrics_(rank), progress_(rank, json_progress) {}

  // Opens what the options name: trace, event file, metrics port. Errors of these.
  absl::Status Open(const TrainerOptions& options);

  WorkerMetrics* metrics() { return &metrics_; }
  Progress& progress() { return progress_; }
  std::shared_ptr<TraceFile> trace() const { return trace_; }  // null: none

  // From `exchange` on, rounds make other steps, or exchanges send something else.
  void StepsChosen(uint64_t exchange, uint32_t steps);
  void RatioChosen(uint64_t exchange, const SendLevel& level);

  // A step of the round of `exchange` that began then, whose loss was known then, is over now.
  void PassesMade(uint64_t exchange, absl::Time begin, absl::Time loss_time);
  // The wait for `exchange`, since then, is over now.
  void Waited(uint64_t exchange, absl::Time begin);
  // `exchange`, of a model with so many elements, is finished, after so many steps; the coming one is `next`.
  void Exchanged(uint64_t exchange, uint64_t next, const StepTraffic& traffic, uint64_t steps, uint64_t elements);
  // A round's loss is known, after `steps` steps.
  void LossKnown(uint64_t steps, double loss);
  void Tested(uint64_t steps, const TestResult& test);
  void GpuUsed(const CudaCounts& counts);
  // To be called between rounds: tells once, after the steps that were made once more.
  void StepsRemade(const RemadeBuckets::Counts& counts);

 private:
  // A moment of an exchange.
  void Mark(uint64_t exchange, const std::string& what);

  const uint32_t rank_;
  WorkerMetrics metrics_;
  Progress progress_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::shared_ptr<TraceFile> trace_;        // null: none
  std::unique_ptr<EventFile> tensorboard_;  // null: none
  uint64_t remade_ = 0;
  bool remade_is_told_ = false;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_RUN_VIEW_H_
