// A run's checkpoints: when they are due, their content, and its use at the next start.

#ifndef WORKER_TRAINER_RUN_CHECKPOINTS_H_
#define WORKER_TRAINER_RUN_CHECKPOINTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/checkpoint/checkpoint_files.h"
#include "worker/checkpoint/checkpoint_writer.h"
#include "worker/checkpoint/sent_log.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/model/training_model.h"
#include "worker/optimizer/local_optimizer.h"
#include "worker/trainer/progress.h"
#include "worker/trainer/worker_metrics.h"
#include "worker/trainer/worker_settings.h"

namespace cddp {

// The parts that a checkpoint saves. All are used only while no exchange is under way.
struct RunParts {
  TrainingModel* model;
  GradientExchange* exchange;
  LocalOptimizer* optimizer;  // null without one of its own
  bool overlaps = false;      // --overlap
  bool holds_back = false;    // the optimizer's difference waits for its exchange (round_order.h)
};

// Not thread-safe.
class RunCheckpoints {
 public:
  // `settings.options.checkpoint_dir` is not empty; `metrics` outlives this object.
  RunCheckpoints(const RunSettings& settings, uint64_t fingerprint, WorkerMetrics* metrics);

  // Once, before the first: whose they are, what kind of arithmetic makes them, and the log of what is sent meanwhile.
  void Begin(const std::string& run, const std::string& arithmetic, std::shared_ptr<SentLog> sent);

  // The checkpoint from which to continue, if there is one. Errors of CheckpointFiles::ReadLatest and CheckFits.
  absl::StatusOr<std::optional<WorkerCheckpoint>> Find();

  // Before a step: takes a checkpoint if it is time for one. One that is due while the last is still being written is
  // left out, with a warning. The first of a run is waited for: without it the first steps could not be made again.
  void BeforeStep(const RunParts& parts, const EpochTotals& totals);

  // Takes a checkpoint and waits until it is durable; the error is in the log.
  void Last(const RunParts& parts, const EpochTotals& totals);

 private:
  // False: there is nothing to write, for a device's error, which is in the log.
  bool Take(const RunParts& parts, const EpochTotals& totals);

  const CheckpointFiles files_;
  const std::string flags_;
  std::string run_;
  std::string arithmetic_;
  std::shared_ptr<SentLog> sent_;  // written before the writer's thread reads it
  const uint64_t fingerprint_;
  const uint64_t every_;
  uint64_t next_ = 0;  // step from which on one is due
  WorkerMetrics& metrics_;
  CheckpointWriter writer_;
};

struct RestoredRun {
  EpochTotals totals;       // of the epoch so far
  bool holds_back = false;  // as in RunParts
};

// Restores model, exchange and optimizer, including weights. InvalidArgument if the checkpoint is not of
// such parts.
absl::StatusOr<RestoredRun> Restore(const WorkerCheckpoint& checkpoint, const RunParts& parts);

}  // namespace cddp

#endif  // WORKER_TRAINER_RUN_CHECKPOINTS_H_
