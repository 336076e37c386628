// The optimizer at the worker: it steps the worker's own weights, and what workers exchange is the change of the
// weights since the last exchange, instead of a gradient; the server averages (local SGD, Stich 2019; DiLoCo,
// Douillard et al. 2023; with compressed differences SparseLoCo, arXiv 2508.15706).
//
// Error feedback commutes with linear steps only. A gradient that has waited arrives as one large entry, which Adam on
// the server would divide by its own size: the step would be lost, not late. So an optimizer that normalises runs here,
// before compression (Tang et al. 2021, 1-bit Adam; docs/convergence.md has measurements).

#ifndef WORKER_OPTIMIZER_WORKER_OPTIMIZER_H_
#define WORKER_OPTIMIZER_WORKER_OPTIMIZER_H_

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/optimizer/optimizer.h"
#include "worker/optimizer/local_optimizer.h"
#include "worker/optimizer/parameter_groups.h"

namespace cddp {

struct WorkerOptimizerOptions {
  OptimizerOptions optimizer;
  std::vector<ParameterGroup> groups;
  double clip_norm = 0;   // limit of the norm of this worker's gradient; 0: none
  bool overlaps = false;  // steps are made while an exchange is under way
};

// InvalidArgument naming the flag whose value makes no sense.
absl::Status Validate(const WorkerOptimizerOptions& options);

// Elements of a part that is stepped at once: gradient, weights and momentum fit the second-level cache. A saved state
// holds one part after the other.
inline constexpr uint64_t kMostRunElements = uint64_t{1} << 16;

// On the host, whose memory all spans lie in. A part is a run of parameters (parameter_groups.h).
class WorkerOptimizer final : public LocalOptimizer {
 public:
  // `weights`: the initial published weights; further elements of the layout are 0. Errors of MakeParameterRuns
  // and Validate.
  static absl::StatusOr<std::unique_ptr<WorkerOptimizer>> Create(const WorkerOptimizerOptions& options,
                                                                 const ParameterLayout& layout,
                                                                 absl::Span<const float> weights);

  void SetStepsBefore(uint64_t steps) override { MakeOptimizers(steps); }
  void Begin(bool skip, const float* loss = nullptr) override;
  uint64_t Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights, Along along) override;
  uint64_t TakeSkipped() override { return std::exchange(skipped_steps_, 0); }
  absl::Span<float> difference() override { return absl::MakeSpan(difference_); }
  absl::Span<float> replica() override { return absl::MakeSpan(replica_); }
  absl::Status TakePublished(absl::Span<float> weights) override;
  absl::Status NoteMoved(absl::Span<const float> weights) override;
  absl::Status GoAhead(absl::Span<float> weights) override;
  absl::Status TakeAnswer(absl::Span<float> weights) override;
  absl::Status SetReplica(absl::Span<const float> weights) override;
  absl::StatusOr<std::string> SaveState() const override { return State(); }
  absl::Status SetState(absl::string_view state) override;

  // Whether a part of the last step was left out.
  bool skipped() const { return skips_; }

  std::string State() const;

 private:
  WorkerOptimizer(std::vector<ParameterRun> runs, const WorkerOptimizerOptions& options, const ParameterLayout& layout,
                  absl::Span<const float> weights);

  // New optimizers, of steps that begin after so many.
  void MakeOptimizers(uint64_t steps_before);
  uint64_t parameters() const { return runs_.empty() ? 0 : runs_.back().range.end; }  // in front of the buffers
  // The model's part of it.
  void CopyReplica(absl::Span<float> to) const { std::copy_n(replica_.begin(), to.size(), to.begin()); }
  void StepRun(size_t run, absl::Span<const float> gradients, absl::Span<float> weights, Along along);
  // Of elements that a step leaves behind in the cache.
  void DoAlong(Along along, const ElementRange& range, absl::Span<float> weights);
  // `from`: where the weights have moved from.
  void NoteMoved(const std::vector<float>& from, const ElementRange& range, absl::Span<const float> weights);
  void GoAhead(const ElementRange& range, absl::Span<float> weights);
  void TakeAnswer(const ElementRange& range, absl::Span<float> weights);
  // The parameters but for so many runs from the front.
  ElementRange Behind(size_t runs) const { return {runs == 0 ? 0 : runs_[runs - 1].range.end, parameters()}; }

  const std::vector<ParameterRun> runs_;
  const double clip_norm_;
  uint64_t steps_before_ = 0;
  std::vector<std::unique_ptr<Optimizer>> optimizers_;  // by run
  std::vector<float> replica_;
  std::vector<float> difference_;
  std::vector<float> begin_;   // where the steps that no exchange has begun with started; empty without overlap
  std::vector<float> change_;  // of a few elements
  size_t answered_ = 0;        // runs from the front that took an answer along with a step, until TakeAnswer
  size_t ahead_ = 0;           // likewise that went ahead, until GoAhead
  // Of the step under way.
  bool skips_ = false;  // from here on
  float scale_ = 1;     // of the gradient
  size_t left_ = 0;     // runs that have not made their step, from the front
  uint64_t skipped_steps_ = 0;
};

}  // namespace cddp

#endif  // WORKER_OPTIMIZER_WORKER_OPTIMIZER_H_
