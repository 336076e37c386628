#include "common/compress/candidates.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/compress/candidates.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The hardware's prefetchers stop at a page's end; this goes a page ahead. Past the buffer's end that is harmless.
constexpr size_t kPrefetchAhead = 2048;

// Elements between two checks that there is room for candidates.
constexpr size_t kChunk = 1024;

// Elements after which the values of candidates are fetched, while they are in the cache.
constexpr size_t kFetch = 8 * kChunk;

// Elements [begin, end) of a bucket; `input` and `residual` start at its element `begin`. With kAdd the elements are
// input + residual and are stored to residual; without, they are input. Appends without a branch: at 1 % density one in
// five vectors has a candidate, which branch predictors cannot guess. It appends only the indices: a second store for
// each vector would cost more than fetching the few values afterwards.
template <bool kAdd>
size_t Scan(const float* HWY_RESTRICT input, float* HWY_RESTRICT residual, size_t begin, size_t end, uint32_t least_key,
            CandidateOutput out, PassSummary* summary) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::RebindToUnsigned<decltype(df)> du;
  const size_t lanes = hn::Lanes(df);
  constexpr auto kLargest = static_cast<int32_t>(kMagnitudeMask);
  const auto magnitude_mask = hn::Set(di, kLargest);
  const auto index_step = hn::Set(du, static_cast<uint32_t>(lanes));
  auto below = static_cast<int32_t>(least_key - 1);
  auto largest = hn::Zero(di);
  size_t fetched = out.count;  // candidates with a value
  const auto fetch = [&] {
    const float* const values = kAdd ? residual : input;
    for (; fetched < out.count; ++fetched) out.values[fetched] = values[out.indices[fetched] - begin];
  };
  for (size_t i = begin; i < end;) {
    if ((i - begin) % kFetch == 0) fetch();
    const size_t stop = std::min(end, i + kChunk);
    if (out.count + (stop - i) > out.capacity && below != kLargest) {
      summary->overflow = true;
      if (!kAdd) break;
      below = kLargest;  // continues without collecting
    }
    const auto bound = hn::Set(di, below);
    auto index = hn::Iota(du, static_cast<uint32_t>(i));
    auto squares = hn::Zero(df);
    for (; i + lanes <= stop; i += lanes) {
      auto value = hn::LoadU(df, input + (i - begin));
      if (kAdd) {
        hwy::Prefetch(residual + (i - begin) + kPrefetchAhead);
        value = hn::Add(value, hn::LoadU(df, residual + (i - begin)));
        hn::StoreU(value, df, residual + (i - begin));
        squares = hn::MulAdd(value, value, squares);
      }
      const auto key = hn::And(hn::BitCast(di, value), magnitude_mask);
      largest = hn::Max(largest, key);
      const auto chosen = hn::Gt(key, bound);
      hn::StoreU(hn::Compress(index, hn::RebindMask(du, chosen)), du, out.indices + out.count);
      out.count += hn::CountTrue(di, chosen);
      index = hn::Add(index, index_step);
    }
    float tail_squares = 0;
    for (; i < stop; ++i) {  // less than a vector, and only at the end: kChunk is a multiple of all widths
      float value = input[i - begin];
      if (kAdd) {
        value += residual[i - begin];
        residual[i - begin] = value;
        tail_squares += value * value;
      }
      const auto key = static_cast<int32_t>(KeyOf(value));
      summary->largest_key = std::max(summary->largest_key, static_cast<uint32_t>(key));
      out.indices[out.count] = static_cast<uint32_t>(i);
      out.values[out.count] = value;
      out.count += key > below ? 1 : 0;
    }
    if (kAdd) summary->sum_sq += static_cast<double>(hn::GetLane(hn::SumOfLanes(df, squares)) + tail_squares);
  }
  fetch();
  const auto largest_key = static_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(di, largest)));
  summary->largest_key = std::max(summary->largest_key, largest_key);
  return out.count;
}

size_t ScanSum(const float* input, float* residual, size_t begin, size_t end, uint32_t least_key, CandidateOutput out,
               PassSummary* summary) {
  return Scan<true>(input, residual, begin, end, least_key, out, summary);
}

size_t ScanValues(const float* values, size_t begin, size_t end, uint32_t least_key, CandidateOutput out,
                  PassSummary* summary) {
  return Scan<false>(values, nullptr, begin, end, least_key, out, summary);
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(ScanSum);
HWY_EXPORT(ScanValues);

void CompensateAndCollect(absl::Span<const float> input, absl::Span<float> residual, uint32_t begin, uint32_t least_key,
                          Candidates* candidates, PassSummary* summary) {
  candidates->set_size(HWY_DYNAMIC_DISPATCH(ScanSum)(input.data(), residual.data() + begin, begin, begin + input.size(),
                                                     least_key, candidates->AsOutput(), summary));
}

bool Collect(absl::Span<const float> values, uint32_t begin, uint32_t least_key, Candidates* candidates) {
  PassSummary summary;
  candidates->set_size(HWY_DYNAMIC_DISPATCH(ScanValues)(values.data(), begin, begin + values.size(), least_key,
                                                        candidates->AsOutput(), &summary));
  return !summary.overflow;
}

}  // namespace cddp
#endif  // HWY_ONCE
