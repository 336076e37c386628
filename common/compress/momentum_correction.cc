#include "common/compress/momentum_correction.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "common/compress/finite.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/compress/momentum_correction.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kLanes = 256;
constexpr size_t kTile = 16 * kLanes;

double SumByHalving(double* sums) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

// Plain loops: the compiler turns the sums into vectors of each target, and may not reorder them.
double SumSquares(const float* values, size_t size) {
  double tiles[kLanes] = {};
  for (size_t begin = 0; begin < size; begin += kTile) {
    double sums[kLanes] = {};
    const size_t end = std::min(size, begin + kTile);
    for (size_t i = begin; i < end; i += kLanes) {
      const size_t count = std::min(kLanes, end - i);
      for (size_t j = 0; j < count; ++j) {
        const auto value = static_cast<double>(values[i + j]);
        sums[j] += value * value;
      }
    }
    tiles[begin / kTile % kLanes] += SumByHalving(sums);
  }
  return SumByHalving(tiles);
}

// No FMA: a processor without it would get another result.
void UpdateVelocity(const float* HWY_RESTRICT gradient, float scale, float momentum, float* HWY_RESTRICT velocity,
                    size_t size) {
  const hn::ScalableTag<float> df;
  const auto largest = hn::Set(df, FLT_MAX);
  const auto least = hn::Set(df, -FLT_MAX);
  size_t i = 0;
  for (; i + hn::Lanes(df) <= size; i += hn::Lanes(df)) {
    const auto kept = hn::Mul(hn::Set(df, momentum), hn::LoadU(df, velocity + i));
    const auto sum = hn::Add(kept, hn::Mul(hn::Set(df, scale), hn::LoadU(df, gradient + i)));
    hn::StoreU(hn::Max(least, hn::Min(largest, sum)), df, velocity + i);
  }
  for (; i < size; ++i) velocity[i] = std::clamp(momentum * velocity[i] + scale * gradient[i], -FLT_MAX, FLT_MAX);
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(SumSquares);
HWY_EXPORT(UpdateVelocity);

double SumOfSquares(absl::Span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(SumSquares)(values.data(), values.size());
}

float ClipScale(double sum_sq, double norm_limit, int workers) {
  const double limit = norm_limit / std::sqrt(static_cast<double>(workers));
  const double norm = std::sqrt(sum_sq);
  return norm > limit ? static_cast<float>(limit / norm) : 1;
}

absl::StatusOr<absl::Span<const float>> MomentumCorrection::Accumulate(absl::Span<const float> gradient, float scale) {
  if (gradient.size() != velocity_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket has ", velocity_.size(), " elements, gradient ", gradient.size()));
  }
  if (!AllFinite(gradient) || !std::isfinite(scale)) return absl::InvalidArgumentError("input holds NaN or infinity");
  HWY_DYNAMIC_DISPATCH(UpdateVelocity)(gradient.data(), scale, momentum_, velocity_.data(), velocity_.size());
  return absl::MakeConstSpan(velocity_);
}

absl::Status MomentumCorrection::ClearSent(absl::string_view update) {
  return ClearAtUpdate(update, absl::MakeSpan(velocity_));
}

}  // namespace cddp
#endif  // HWY_ONCE
