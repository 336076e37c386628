#include "common/compress/select_largest.h"

#include <algorithm>
#include <bit>
#include <functional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/compress/select_largest.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using KeyTag = hn::RebindToSigned<FloatTag>;

HWY_INLINE hn::Vec<KeyTag> KeysAt(const float* values) {
  const auto mask = hn::Set(KeyTag(), static_cast<int32_t>(kMagnitudeMask));
  return hn::And(hn::BitCast(KeyTag(), hn::LoadU(FloatTag(), values)), mask);
}

uint32_t LargestKey(const float* values, size_t size) {
  const size_t lanes = hn::Lanes(FloatTag());
  auto largest = hn::Zero(KeyTag());
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) largest = hn::Max(largest, KeysAt(values + i));
  auto result = static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(KeyTag(), largest)));
  for (; i < size; ++i) result = std::max(result, KeyOf(values[i]));
  return result;
}

// The number of keys that are at least `key` > 0.
size_t CountAtLeast(const float* values, size_t size, uint32_t key) {
  const size_t lanes = hn::Lanes(FloatTag());
  const auto bound = hn::Set(KeyTag(), static_cast<int32_t>(key - 1));
  auto minus_counts = hn::Zero(KeyTag());
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    minus_counts = hn::Add(minus_counts, hn::VecFromMask(KeyTag(), hn::Gt(KeysAt(values + i), bound)));
  }
  auto count = static_cast<size_t>(-hn::GetLane(hn::SumOfLanes(KeyTag(), minus_counts)));
  for (; i < size; ++i) count += KeyOf(values[i]) >= key ? 1 : 0;
  return count;
}

// Writes the keys in [begin_key, end_key) to to[0, ...), which must have room for one more vector than they need.
size_t CopyKeys(const float* values, size_t size, uint32_t begin_key, uint32_t end_key, uint32_t* to) {
  const hn::RebindToUnsigned<KeyTag> du;
  const size_t lanes = hn::Lanes(du);
  const auto below = hn::Set(KeyTag(), static_cast<int32_t>(begin_key) - 1);
  const auto beyond = hn::Set(KeyTag(), static_cast<int32_t>(end_key));
  size_t copied = 0;
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto keys = KeysAt(values + i);
    const auto chosen = hn::And(hn::Gt(keys, below), hn::Lt(keys, beyond));
    hn::StoreU(hn::Compress(hn::BitCast(du, keys), hn::RebindMask(du, chosen)), du, to + copied);
    copied += hn::CountTrue(KeyTag(), chosen);
  }
  for (; i < size; ++i) {
    const uint32_t key = KeyOf(values[i]);
    if (key >= begin_key && key < end_key) to[copied++] = key;
  }
  return copied;
}

// Moves the elements of [begin, end) with keys of at least `least_key` to [kept, ...) in place, kept <= begin; returns
// the end of what was kept. A vector is stored no further than where it was loaded from, so nothing unread is lost.
size_t Compact(uint32_t* indices, float* values, size_t begin, size_t end, uint32_t least_key, size_t kept) {
  const FloatTag df;
  const hn::RebindToUnsigned<FloatTag> du;
  const size_t lanes = hn::Lanes(df);
  const auto bound = hn::Set(KeyTag(), static_cast<int32_t>(least_key) - 1);
  size_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    const auto value = hn::LoadU(df, values + i);
    const auto index = hn::LoadU(du, indices + i);
    const auto chosen = hn::Gt(KeysAt(values + i), bound);
    hn::StoreU(hn::Compress(index, hn::RebindMask(du, chosen)), du, indices + kept);
    hn::StoreU(hn::Compress(value, hn::RebindMask(df, chosen)), df, values + kept);
    kept += hn::CountTrue(KeyTag(), chosen);
  }
  for (; i < end; ++i) {
    indices[kept] = indices[i];
    values[kept] = values[i];
    kept += KeyOf(values[i]) >= least_key ? 1 : 0;
  }
  return kept;
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(LargestKey);
HWY_EXPORT(CountAtLeast);
HWY_EXPORT(CopyKeys);
HWY_EXPORT(Compact);

uint32_t LargestSelector::Keep(size_t k, uint32_t least_key, Candidates* candidates) {
  uint32_t* const indices = candidates->indices();
  float* const values = candidates->values();
  const size_t size = candidates->size();

  // The key of the k-th is in [begin_key, end_key): at_least keys reach the one and `above` the other.
  uint32_t begin_key = least_key;
  uint32_t end_key = HWY_DYNAMIC_DISPATCH(LargestKey)(values, size) + 1;
  size_t at_least = size;
  size_t above = 0;
  while (at_least - above > kBand && end_key - begin_key > 1) {
    const uint32_t middle = begin_key + (end_key - begin_key) / 2;
    const size_t count = HWY_DYNAMIC_DISPATCH(CountAtLeast)(values, size, middle);
    if (count >= k) {
      begin_key = middle;
      at_least = count;
    } else {
      end_key = middle;
      above = count;
    }
  }

  // Of the elements equal to the threshold only the first `ties` are kept: those before position `cut`.
  uint32_t threshold = begin_key;
  size_t ties = k - above;
  size_t all_ties = at_least - above;
  if (end_key - begin_key > 1) {
    uint32_t* const band = band_.data();
    const size_t band_size = HWY_DYNAMIC_DISPATCH(CopyKeys)(values, size, begin_key, end_key, band);
    std::nth_element(band, band + ties - 1, band + band_size, std::greater<>());
    threshold = band[ties - 1];
    all_ties = static_cast<size_t>(std::count(band, band + band_size, threshold));
    ties = static_cast<size_t>(std::count(band, band + ties, threshold));
  }
  size_t cut = size;
  if (ties < all_ties) {
    cut = 0;
    for (size_t seen = 0; seen < ties; ++cut) seen += KeyOf(values[cut]) == threshold ? 1 : 0;
  }
  size_t kept = HWY_DYNAMIC_DISPATCH(Compact)(indices, values, 0, cut, threshold, 0);
  kept = HWY_DYNAMIC_DISPATCH(Compact)(indices, values, cut, size, threshold + 1, kept);
  candidates->set_size(kept);
  return threshold;
}

}  // namespace cddp
#endif  // HWY_ONCE
