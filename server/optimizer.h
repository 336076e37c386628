// Optimizers of the parameter server: from the mean gradient of a bucket to the change of its weights.

#ifndef SERVER_OPTIMIZER_H_
#define SERVER_OPTIMIZER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cddp {

// Stochastic gradient descent as LibTorch's optim::SGD defines it (dampening 0):
//   g += weight_decay * w;  m = momentum * m + g (m = g in the first step);  d = nesterov ? g + momentum * m : m;
//   change = -lr * d.
struct SgdOptions {
  double lr = 0.05;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0;
};

// InvalidArgument naming the value that makes no sense.
absl::Status Validate(const SgdOptions& options);

// State of the optimizer for one bucket: 4 bytes an element with momentum, none without. Not thread-safe.
class SgdOptimizer {
 public:
  SgdOptimizer(const SgdOptions& options, uint32_t length);

  // Turns `gradient` (in place) into the change of the weights. The true weights are `published` + `residual`
  // (common/compress/bucket_compressor.h); both are read only where weight decay needs them. All spans have `length`
  // elements.
  void Step(absl::Span<float> gradient, absl::Span<const float> published, absl::Span<const float> residual);

 private:
  SgdOptions options_;
  std::vector<float> momentum_;  // empty without momentum
};

}  // namespace cddp

#endif  // SERVER_OPTIMIZER_H_
