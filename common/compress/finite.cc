#include "common/compress/finite.h"

#include <algorithm>
#include <bit>
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

// The hardware's prefetchers stop at the end of a page; this goes a page ahead, and past the buffer's end does no harm.
constexpr size_t kPrefetchAhead = 1024;

// The bits of the largest magnitude. NaN and infinity have the largest exponent, so they show in it.
uint32_t LargestMagnitudeBits(const float* values, size_t size) {
  const hn::ScalableTag<int32_t> di;
  const hn::Rebind<float, decltype(di)> df;
  const size_t lanes = hn::Lanes(di);
  constexpr int32_t kMask = 0x7fffffff;
  const auto mask = hn::Set(di, kMask);
  auto largest0 = hn::Zero(di);
  auto largest1 = hn::Zero(di);
  size_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    hwy::Prefetch(values + i + kPrefetchAhead);
    hwy::Prefetch(values + i + kPrefetchAhead + lanes);
    largest0 = hn::Max(largest0, hn::And(mask, hn::BitCast(di, hn::LoadU(df, values + i))));
    largest1 = hn::Max(largest1, hn::And(mask, hn::BitCast(di, hn::LoadU(df, values + i + lanes))));
  }
  int32_t largest = hn::GetLane(hn::MaxOfLanes(di, hn::Max(largest0, largest1)));
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

}  // namespace cddp
#endif  // HWY_ONCE
