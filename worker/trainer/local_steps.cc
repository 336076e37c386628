#include "worker/trainer/local_steps.h"

namespace cddp {

void LocalSteps::Step(absl::Span<float> gradients, absl::Span<float> weights) {
  inner_->Step(gradients, weights, /*residual=*/{});
  for (size_t i = 0; i < weights.size(); ++i) weights[i] += gradients[i];
}

absl::Span<const float> LocalSteps::Difference(absl::Span<const float> weights) {
  for (size_t i = 0; i < weights.size(); ++i) difference_[i] = replica_[i] - weights[i];
  return difference_;
}

}  // namespace cddp
