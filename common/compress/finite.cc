#include "common/compress/finite.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cstddef>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/compress/finite.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The hardware's prefetchers stop at a page's end; this goes a page ahead. Past the buffer's end that is harmless.
constexpr size_t kPrefetchAhead = 2048;

// The bits of the largest magnitude. NaN and infinity have the largest exponent, so they show in it.
uint32_t LargestMagnitudeBits(const float* values, size_t size) {
  const hn::ScalableTag<int32_t> di;
  const hn::Rebind<float, decltype(di)> df;
  const size_t lanes = hn::Lanes(di);
  constexpr int32_t kMask = 0x7fffffff;
  const auto mask = hn::Set(di, kMask);
  auto largest0 = hn::Zero(di), largest1 = hn::Zero(di), largest2 = hn::Zero(di), largest3 = hn::Zero(di);
  const auto magnitude = [&](size_t at) HWY_ATTR { return hn::And(mask, hn::BitCast(di, hn::LoadU(df, values + at))); };
  size_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    for (size_t line = 0; line < 4 * lanes; line += 16) hwy::Prefetch(values + i + line + kPrefetchAhead);
    largest0 = hn::Max(largest0, magnitude(i));
    largest1 = hn::Max(largest1, magnitude(i + lanes));
    largest2 = hn::Max(largest2, magnitude(i + 2 * lanes));
    largest3 = hn::Max(largest3, magnitude(i + 3 * lanes));
  }
  const auto largest01 = hn::Max(largest0, largest1);
  const auto largest23 = hn::Max(largest2, largest3);
  int32_t largest = hn::GetLane(hn::MaxOfLanes(di, hn::Max(largest01, largest23)));
  for (; i < size; ++i) largest = std::max(largest, std::bit_cast<int32_t>(values[i]) & kMask);
  return static_cast<uint32_t>(largest);
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(LargestMagnitudeBits);

bool AllFinite(absl::Span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(LargestMagnitudeBits)(values.data(), values.size()) < 0x7f800000u;
}

void Saturate(absl::Span<float> values) {
  for (float& value : values) value = std::clamp(value, -FLT_MAX, FLT_MAX);
}

}  // namespace cddp
#endif  // HWY_ONCE
