// Training alone between two exchanges: H steps of an inner optimizer, then the difference of the weights is exchanged
// as if it were a gradient, and the server's optimizer is the outer one (local SGD, Stich 2019; DiLoCo, Douillard et
// al. 2023; with compressed differences SparseLoCo, arXiv 2508.15706).

#ifndef WORKER_TRAINER_LOCAL_STEPS_H_
#define WORKER_TRAINER_LOCAL_STEPS_H_

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "common/optimizer/optimizer.h"

namespace cddp {

// All spans have as many elements as the parameter space. Not thread-safe.
class LocalSteps {
 public:
  // `weights`: the published weights that all workers begin with.
  LocalSteps(const OptimizerOptions& inner, absl::Span<const float> weights)
      : inner_(Optimizer::Create(inner, weights.size())),
        replica_(weights.begin(), weights.end()),
        difference_(weights.size()) {}

  // One inner step; `gradients` are used up.
  void Step(absl::Span<float> gradients, absl::Span<float> weights);

  // Published weights minus `weights`: what the local steps have moved, with a gradient's sign. Valid until the next
  // call.
  absl::Span<const float> Difference(absl::Span<const float> weights);

  // The published weights; the exchange adds its answers here.
  absl::Span<float> replica() { return absl::MakeSpan(replica_); }

 private:
  std::unique_ptr<Optimizer> inner_;
  std::vector<float> replica_;
  std::vector<float> difference_;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_LOCAL_STEPS_H_
