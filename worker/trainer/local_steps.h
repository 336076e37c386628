// Training alone between two exchanges: H steps of an inner optimizer, then the difference of the weights is exchanged
// as if it were a gradient, and the server's optimizer is the outer one (local SGD, Stich 2019; DiLoCo, Douillard et
// al. 2023; with compressed differences SparseLoCo, arXiv 2508.15706).

#ifndef WORKER_TRAINER_LOCAL_STEPS_H_
#define WORKER_TRAINER_LOCAL_STEPS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/optimizer/optimizer.h"

namespace cddp {

// All spans have as many elements as the parameter space. A step is made block by block, as the backward pass completes
// the gradients, last first. Not thread-safe.
class LocalSteps {
 public:
  // `weights`: the published weights that all workers begin with.
  LocalSteps(const OptimizerOptions& inner, absl::Span<const float> weights);

  // Begins a step.
  void Begin() { done_ = replica_.size(); }

  // Gradients from `ready` on are complete: makes the inner step of the blocks that lie there, and of no block twice in
  // a step. With `with_difference` it also notes for them what the local steps have moved. Returns where the blocks
  // that are done begin; all are after a call with 0.
  uint64_t Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights, bool with_difference);

  // Published weights minus weights: what the local steps have moved, with a gradient's sign.
  absl::Span<const float> difference() const { return difference_; }

  // The published weights; the exchange adds its answers here.
  absl::Span<float> replica() { return absl::MakeSpan(replica_); }

  // The inner optimizer, for a checkpoint after an exchange. SetState: InvalidArgument if it is of another one.
  std::string State() const;
  absl::Status SetState(absl::string_view state);

 private:
  std::vector<std::unique_ptr<Optimizer>> inner_;  // by block
  std::vector<float> replica_;
  std::vector<float> difference_;
  std::vector<float> change_;  // of one block
  uint64_t done_ = 0;          // elements from here on have made their step
};

}  // namespace cddp

#endif  // WORKER_TRAINER_LOCAL_STEPS_H_
