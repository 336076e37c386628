// cddp_adamw_step of include/cddp/cddp.h.

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cddp/cddp.h"
#include "common/optimizer/optimizer_loops.h"
#include "worker/capi/error.h"
#include "worker/capi/sized_struct.h"

namespace cddp::capi {
namespace {

constexpr uint32_t kAdamWBytes = 56;  // of version 1.0
static_assert(sizeof(cddp_adamw) == kAdamWBytes);

absl::Status CheckAdamW(const cddp_adamw& given) {
  const auto is_part = [](double beta) { return beta >= 0 && beta < 1; };
  const auto is_rate = [](double rate) { return rate >= 0 && std::isfinite(rate); };
  if (given.step > 0 && is_rate(given.lr) && is_rate(given.weight_decay) && is_part(given.beta1) &&
      is_part(given.beta2) && given.epsilon > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("adamw has step=", given.step, " lr=", given.lr, " beta1=", given.beta1, " beta2=", given.beta2,
                   " epsilon=", given.epsilon, " weight_decay=", given.weight_decay,
                   ": steps count from 1, lr and weight_decay are 0 or above, betas in [0, 1), epsilon above 0"));
}

absl::Status AdamWStep(const cddp_adamw* given, size_t elements, float* weights, const float* gradients, float* mean,
                       float* mean_square) {
  if (given == nullptr) return absl::InvalidArgumentError("adamw is null");
  const absl::StatusOr<cddp_adamw> read = ReadStruct(given, kAdamWBytes, "adamw");
  if (!read.ok()) return read.status();
  if (absl::Status status = CheckAdamW(*read); !status.ok()) return status;
  if (elements == 0) return absl::OkStatus();
  if (weights == nullptr || gradients == nullptr || mean == nullptr || mean_square == nullptr) {
    return absl::InvalidArgumentError("adamw: an array is null");
  }
  const AdamFactors factors = AdamFactorsOf(read->lr, read->beta1, read->beta2, read->epsilon, read->step);
  const auto keep = static_cast<float>(1 - read->lr * read->weight_decay);
  AdamWLoop(factors, keep, weights, gradients, mean, mean_square, elements);
  return absl::OkStatus();
}

}  // namespace
}  // namespace cddp::capi

cddp_code cddp_adamw_step(const cddp_adamw* options, size_t elements, float* weights, const float* gradients,
                          float* mean, float* mean_square) {
  return cddp::capi::Guard(
      [&] { return cddp::capi::AdamWStep(options, elements, weights, gradients, mean, mean_square); });
}
