#include "server/optimizer.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace cddp {

absl::Status Validate(const SgdOptions& options) {
  if (!(options.lr > 0) || !std::isfinite(options.lr)) {
    return absl::InvalidArgumentError(absl::StrCat("--lr=", options.lr, ": the learning rate must be above 0"));
  }
  if (!(options.momentum >= 0 && options.momentum < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--momentum=", options.momentum, " is outside [0, 1)"));
  }
  if (!(options.weight_decay >= 0) || !std::isfinite(options.weight_decay)) {
    return absl::InvalidArgumentError(absl::StrCat("--weight_decay=", options.weight_decay, " is below 0"));
  }
  if (options.nesterov && options.momentum == 0) {
    return absl::InvalidArgumentError("--nesterov needs --momentum above 0");
  }
  return absl::OkStatus();
}

SgdOptimizer::SgdOptimizer(const SgdOptions& options, uint32_t length)
    : options_(options), momentum_(options.momentum > 0 ? length : 0) {}

void SgdOptimizer::Step(absl::Span<float> gradient, absl::Span<const float> published,
                        absl::Span<const float> residual) {
  const size_t length = gradient.size();
  const float lr = static_cast<float>(options_.lr);
  const float momentum = static_cast<float>(options_.momentum);
  const float weight_decay = static_cast<float>(options_.weight_decay);
  float* __restrict g = gradient.data();
  const float* __restrict p = published.data();
  const float* __restrict r = residual.data();
  if (weight_decay != 0) {
    for (size_t i = 0; i < length; ++i) g[i] += weight_decay * (p[i] + r[i]);
  }
  if (momentum_.empty()) {
    for (size_t i = 0; i < length; ++i) g[i] *= -lr;
    return;
  }
  float* __restrict m = momentum_.data();
  if (options_.nesterov) {
    for (size_t i = 0; i < length; ++i) {
      m[i] = momentum * m[i] + g[i];
      g[i] = -lr * (g[i] + momentum * m[i]);
    }
  } else {
    for (size_t i = 0; i < length; ++i) {
      m[i] = momentum * m[i] + g[i];
      g[i] = -lr * m[i];
    }
  }
}

}  // namespace cddp
