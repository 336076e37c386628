// The optimizer at the worker: it steps the worker's own weights, and what workers exchange is the change of the
// weights since the last exchange, in the place of a gradient; the server averages (local SGD, Stich 2019; DiLoCo,
// Douillard et al. 2023; with compressed differences SparseLoCo, arXiv 2508.15706).
//
// Error feedback commutes with linear steps only. A gradient that has waited arrives as one large entry, which Adam on
// the server would divide by its own size: the step would be lost, not late. So whatever normalises stands here, before
// compression (Tang et al. 2021, 1-bit Adam; ../shared/convergence-notes.md has measurements).

#ifndef WORKER_OPTIMIZER_WORKER_OPTIMIZER_H_
#define WORKER_OPTIMIZER_WORKER_OPTIMIZER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/optimizer/optimizer.h"
#include "worker/optimizer/parameter_groups.h"

namespace cddp {

struct WorkerOptimizerOptions {
  OptimizerOptions optimizer;
  std::vector<ParameterGroup> groups;
  double clip_norm = 0;  // limit of the norm of this worker's gradient; 0: none
};

// All spans have as many elements as the parameter space. A step is made run by run, as the backward pass completes the
// gradients, last first; with clipping, at once when all are complete. A run whose gradient is not finite, and all
// before it, are left out of the step: neither weights nor the optimizer's state ever hold a NaN. Not thread-safe.
class WorkerOptimizer {
 public:
  // `weights`: the published weights to begin with. `steps_before`: steps that the training had made by then; the
  // learning rate goes on from there. Errors of MakeParameterRuns and Validate.
  static absl::StatusOr<std::unique_ptr<WorkerOptimizer>> Create(const WorkerOptimizerOptions& options,
                                                                 const ParameterLayout& layout,
                                                                 absl::Span<const float> weights,
                                                                 uint64_t steps_before = 0);

  // Begins a step. `skip`: the loss is not finite, so the step changes nothing.
  void Begin(bool skip);

  // Gradients from `ready` on are complete: steps the runs that lie there, and no run twice in a step. With
  // `with_difference` it also notes for them what the steps since the last exchange have moved. Returns where the runs
  // that are done begin; all are after a call with 0.
  uint64_t Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights, bool with_difference);

  // Was a part of the last step left out?
  bool skipped() const { return skips_; }

  // Published weights minus weights: what the steps have moved, with a gradient's sign.
  absl::Span<const float> difference() const { return difference_; }

  // The published weights; the exchange adds its replies here.
  absl::Span<float> replica() { return absl::MakeSpan(replica_); }

  // The optimizer's state, for a checkpoint after an exchange. SetState: InvalidArgument if it is of another one.
  std::string State() const;
  absl::Status SetState(absl::string_view state);

 private:
  WorkerOptimizer(std::vector<ParameterRun> runs, double clip_norm, absl::Span<const float> weights);

  // New optimizers, of steps that begin after so many.
  void MakeOptimizers(uint64_t steps_before);
  void StepRun(size_t run, absl::Span<const float> gradients, absl::Span<float> weights);

  const std::vector<ParameterRun> runs_;
  const double clip_norm_;
  uint64_t steps_before_ = 0;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;  // by run
  std::vector<float> replica_;
  std::vector<float> difference_;
  std::vector<float> change_;  // of one run
  // Of the step under way.
  bool skips_ = false;  // from here on
  float scale_ = 1;     // of the gradient
  size_t left_ = 0;     // runs that have not made their step, from the front
};

}  // namespace cddp

#endif  // WORKER_OPTIMIZER_WORKER_OPTIMIZER_H_
