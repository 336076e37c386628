// Optimizers: from a gradient to the change of the weights. Servers run them on buckets; workers that make local steps
// run one on the whole parameter space.

#ifndef COMMON_OPTIMIZER_OPTIMIZER_H_
#define COMMON_OPTIMIZER_OPTIMIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/codec/byte_io.h"
#include "common/optimizer/learning_rate.h"

namespace cddp {

// The algorithms are those of LibTorch's optim::SGD, Adam and AdamW, operation by operation in float32; t counts steps
// from 1, g is the gradient, w the weight:
//   sgd    g += weight_decay w;  m = momentum m + g (m = g at first);  change = -lr (nesterov ? g + momentum m : m)
//   adam   g += weight_decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//          change = -lr m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)      (Kingma & Ba 2015)
//   adamw  adam without weight decay in g, and change -= lr weight_decay w               (Loshchilov & Hutter 2019)
enum class OptimizerKind { kSgd, kAdam, kAdamW };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kSgd;
  LearningRateOptions lr;
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

// InvalidArgument naming the flag whose value makes no sense.
absl::Status Validate(const OptimizerOptions& options);

// For ABSL_FLAG: "sgd", "adam", "adamw".
bool AbslParseFlag(absl::string_view text, OptimizerKind* kind, std::string* error);
std::string AbslUnparseFlag(OptimizerKind kind);

// State: 4 bytes per element for sgd with momentum, 8 for adam and adamw. Not thread-safe.
class Optimizer {
 public:
  // `length`: number of elements. `options` must be valid.
  static std::unique_ptr<Optimizer> Create(const OptimizerOptions& options, uint64_t length);
  virtual ~Optimizer() = default;

  // Turns `gradient` (in place) into the change of the weights, which are `weights` + `residual` (a server's difference
  // not published yet; empty: none); both are read only where weight decay needs them. Spans have `length` elements.
  void Step(absl::Span<float> gradient, absl::Span<const float> weights, absl::Span<const float> residual) {
    BeginStep();
    StepPart(0, 1, gradient, weights, residual);
  }

  // The same in parts, for callers that make the gradient piece by piece: after BeginStep, StepPart for each part once,
  // with spans of the elements from `begin` on, and the gradient still to be multiplied by `scale`.
  virtual void BeginStep() = 0;
  virtual void StepPart(uint64_t begin, float scale, absl::Span<float> gradient, absl::Span<const float> weights,
                        absl::Span<const float> residual) = 0;

  // Starts to bring the state of elements from `begin` on into the cache, for a StepPart that follows soon.
  virtual void Prefetch(uint64_t begin, size_t size) const = 0;

  // The state between two steps, for a checkpoint. Load fails the reader if it is of another kind or length.
  virtual void Save(ByteWriter* to) const = 0;
  virtual void Load(ByteReader* from) = 0;
};

}  // namespace cddp

#endif  // COMMON_OPTIMIZER_OPTIMIZER_H_
