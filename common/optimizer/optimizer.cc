#include "common/optimizer/optimizer.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

// gradient += factor * (weights + residual)
void AddWeights(float factor, absl::Span<float> gradient, absl::Span<const float> weights,
                absl::Span<const float> residual) {
  if (factor == 0) return;
  float* __restrict g = gradient.data();
  const float* __restrict w = weights.data();
  const float* __restrict r = residual.data();
  if (residual.empty()) {
    for (size_t i = 0; i < gradient.size(); ++i) g[i] += factor * w[i];
  } else {
    for (size_t i = 0; i < gradient.size(); ++i) g[i] += factor * (w[i] + r[i]);
  }
}

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerOptions& options, uint64_t length)
      : options_(options), momentum_(options.momentum > 0 ? length : 0) {}

  void BeginStep() override { lr_ = static_cast<float>(LearningRate(options_.lr, steps_++)); }

  void StepPart(uint64_t begin, absl::Span<float> gradient, absl::Span<const float> weights,
                absl::Span<const float> residual) override {
    AddWeights(static_cast<float>(options_.weight_decay), gradient, weights, residual);
    const float lr = lr_;
    const float momentum = static_cast<float>(options_.momentum);
    float* __restrict g = gradient.data();
    float* __restrict m = momentum_.data() + (momentum_.empty() ? 0 : begin);
    if (momentum_.empty()) {
      for (size_t i = 0; i < gradient.size(); ++i) g[i] *= -lr;
    } else if (options_.nesterov) {
      for (size_t i = 0; i < gradient.size(); ++i) {
        m[i] = momentum * m[i] + g[i];
        g[i] = -lr * (g[i] + momentum * m[i]);
      }
    } else {
      for (size_t i = 0; i < gradient.size(); ++i) {
        m[i] = momentum * m[i] + g[i];
        g[i] = -lr * m[i];
      }
    }
  }

 private:
  const OptimizerOptions options_;
  uint64_t steps_ = 0;
  float lr_ = 0;                 // of the step begun
  std::vector<float> momentum_;  // empty without momentum
};

class Adam final : public Optimizer {
 public:
  Adam(const OptimizerOptions& options, uint64_t length) : options_(options), mean_(length), square_(length) {}

  void BeginStep() override {
    const double lr = LearningRate(options_.lr, steps_++);
    const double t = static_cast<double>(steps_);
    lr_ = static_cast<float>(lr);
    step_size_ = static_cast<float>(lr / (1 - std::pow(options_.beta1, t)));
    square_scale_ = static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, t)));
  }

  void StepPart(uint64_t begin, absl::Span<float> gradient, absl::Span<const float> weights,
                absl::Span<const float> residual) override {
    const bool decoupled = options_.kind == OptimizerKind::kAdamW;
    const float decay = static_cast<float>(options_.weight_decay);
    if (!decoupled) AddWeights(decay, gradient, weights, residual);
    const float beta1 = static_cast<float>(options_.beta1);
    const float beta2 = static_cast<float>(options_.beta2);
    const float step_size = step_size_;
    const float square_scale = square_scale_;
    const float epsilon = static_cast<float>(options_.epsilon);
    float* __restrict g = gradient.data();
    float* __restrict m = mean_.data() + begin;
    float* __restrict v = square_.data() + begin;
    for (size_t i = 0; i < gradient.size(); ++i) {
      m[i] = beta1 * m[i] + (1 - beta1) * g[i];
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
      g[i] = -step_size * m[i] / (std::sqrt(v[i]) * square_scale + epsilon);
    }
    if (decoupled) AddWeights(-lr_ * decay, gradient, weights, residual);
  }

 private:
  const OptimizerOptions options_;
  uint64_t steps_ = 0;
  float lr_ = 0;            // of the step begun, like the two below
  float step_size_ = 0;     // with the bias correction of the mean
  float square_scale_ = 0;  // 1 / bias correction of the root of the mean square
  std::vector<float> mean_;
  std::vector<float> square_;
};

absl::Status CheckRange(absl::string_view flag, double value) {
  if (value >= 0 && value < 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, "=", value, " is outside [0, 1)"));
}

}  // namespace

absl::Status Validate(const OptimizerOptions& options) {
  if (absl::Status status = Validate(options.lr); !status.ok()) return status;
  if (!(options.weight_decay >= 0) || !std::isfinite(options.weight_decay)) {
    return absl::InvalidArgumentError(absl::StrCat("--weight_decay=", options.weight_decay, " is below 0"));
  }
  if (options.kind == OptimizerKind::kSgd) {
    if (options.nesterov && options.momentum == 0) {
      return absl::InvalidArgumentError("--nesterov needs --momentum above 0");
    }
    return CheckRange("--momentum", options.momentum);
  }
  if (!(options.epsilon > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("--epsilon=", options.epsilon, " must be above 0"));
  }
  absl::Status status = CheckRange("--beta1", options.beta1);
  status.Update(CheckRange("--beta2", options.beta2));
  return status;
}

std::unique_ptr<Optimizer> Optimizer::Create(const OptimizerOptions& options, uint64_t length) {
  if (options.kind == OptimizerKind::kSgd) return std::make_unique<Sgd>(options, length);
  return std::make_unique<Adam>(options, length);
}

bool AbslParseFlag(absl::string_view text, OptimizerKind* kind, std::string* error) {
  for (OptimizerKind candidate : {OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW}) {
    if (text == AbslUnparseFlag(candidate)) {
      *kind = candidate;
      return true;
    }
  }
  *error = "use sgd, adam or adamw";
  return false;
}

std::string AbslUnparseFlag(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kSgd:
      return "sgd";
    case OptimizerKind::kAdam:
      return "adam";
    case OptimizerKind::kAdamW:
      return "adamw";
  }
  return "";
}

}  // namespace cddp
