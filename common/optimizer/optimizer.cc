#include "common/optimizer/optimizer.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/memory/large_array.h"
#include "common/optimizer/optimizer_loops.h"
#include "common/optimizer/prefetch.h"

namespace cddp {
namespace {

void Decay(float factor, absl::Span<float> gradient, absl::Span<const float> weights,
           absl::Span<const float> residual) {
  if (factor == 0) return;
  CDDP_CHECK(weights.size() == gradient.size() && (residual.empty() || residual.size() == gradient.size()))
      << gradient.size() << " gradients, " << weights.size() << " weights, " << residual.size() << " residuals";
  AddWeights(factor, weights.data(), residual.empty() ? nullptr : residual.data(), gradient.data(), gradient.size());
}

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerOptions& options, uint64_t length)
      : options_(options), momentum_(options.momentum > 0 ? length : 0) {}

  void BeginStep() override { lr_ = static_cast<float>(LearningRate(options_.lr, steps_++)); }

  void StepPart(uint64_t begin, float scale, absl::Span<float> gradient, absl::Span<const float> weights,
                absl::Span<const float> residual) override {
    if (momentum_.empty() || options_.weight_decay > 0) {  // else the momentum's loop does it
      Scale(std::exchange(scale, 1.0f), gradient.data(), gradient.size());
    }
    Decay(static_cast<float>(options_.weight_decay), gradient, weights, residual);
    if (momentum_.empty()) {
      Scale(-lr_, gradient.data(), gradient.size());
    } else {
      CDDP_CHECK(begin + gradient.size() <= momentum_.size()) << begin << " + " << gradient.size();
      const MomentumFactors factors = {scale, lr_, static_cast<float>(options_.momentum), options_.nesterov};
      MomentumLoop(factors, gradient.data(), momentum_.data() + begin, gradient.size());
    }
  }

  void Prefetch(uint64_t begin, size_t size) const override {
    if (!momentum_.empty()) PrefetchFloats(momentum_.data() + begin, size);
  }

  void Save(ByteWriter* to) const override {
    to->Put<uint64_t>(steps_);
    to->PutFloats(momentum_);
  }
  void Load(ByteReader* from) override {
    steps_ = from->Get<uint64_t>();
    from->GetFloats(absl::MakeSpan(momentum_));
  }

 private:
  const OptimizerOptions options_;
  uint64_t steps_ = 0;
  float lr_ = 0;                // of the step begun
  LargeArray<float> momentum_;  // empty without momentum
};

class Adam final : public Optimizer {
 public:
  Adam(const OptimizerOptions& options, uint64_t length) : options_(options), mean_(length), square_(length) {}

  void BeginStep() override {
    const double lr = LearningRate(options_.lr, steps_++);
    lr_ = static_cast<float>(lr);
    factors_ = AdamFactorsOf(lr, options_.beta1, options_.beta2, options_.epsilon, steps_);
  }

  void StepPart(uint64_t begin, float scale, absl::Span<float> gradient, absl::Span<const float> weights,
                absl::Span<const float> residual) override {
    CDDP_CHECK(begin + gradient.size() <= mean_.size()) << begin << " + " << gradient.size();
    Scale(scale, gradient.data(), gradient.size());
    const bool decoupled = options_.kind == OptimizerKind::kAdamW;
    const float decay = static_cast<float>(options_.weight_decay);
    if (!decoupled) Decay(decay, gradient, weights, residual);
    AdamLoop(factors_, gradient.data(), mean_.data() + begin, square_.data() + begin, gradient.size());
    if (decoupled) Decay(-lr_ * decay, gradient, weights, residual);
  }

  void Prefetch(uint64_t begin, size_t size) const override {
    PrefetchFloats(mean_.data() + begin, size);
    PrefetchFloats(square_.data() + begin, size);
  }

  void Save(ByteWriter* to) const override {
    to->Put<uint64_t>(steps_);
    to->PutFloats(mean_);
    to->PutFloats(square_);
  }
  void Load(ByteReader* from) override {
    steps_ = from->Get<uint64_t>();
    from->GetFloats(absl::MakeSpan(mean_));
    from->GetFloats(absl::MakeSpan(square_));
  }

 private:
  const OptimizerOptions options_;
  uint64_t steps_ = 0;
  float lr_ = 0;  // of the step begun, as are its factors
  AdamFactors factors_;
  LargeArray<float> mean_;
  LargeArray<float> square_;
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
