#include "common/compress/top_k_compressor.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/compress/finite.h"
#include "common/compress/send.h"
#include "common/compress/threshold_search.h"

namespace cddp {
namespace {

std::vector<BucketSlice> Complement(absl::Span<const BucketSlice> slices, uint32_t length) {
  std::vector<BucketSlice> complement;
  uint32_t begin = 0;
  for (const BucketSlice& slice : slices) {
    if (begin < slice.begin) complement.push_back({begin, slice.begin});
    begin = slice.end;
  }
  if (begin < length) complement.push_back({begin, length});
  return complement;
}

uint32_t TotalLength(absl::Span<const BucketSlice> slices) {
  uint32_t total = 0;
  for (const BucketSlice& slice : slices) total += slice.end - slice.begin;
  return total;
}

// Room for three times the selected number, so that a slightly low threshold does not fail.
size_t CandidateCapacity(uint32_t eligible, uint32_t k) {
  return std::min<size_t>(eligible, 3 * size_t{k} + 4096) + 1024;
}

bool MagnitudeLess(float a, float b) { return std::fabs(a) < std::fabs(b); }

}  // namespace

TopKCompressor::TopKCompressor(uint32_t length, const CompressorOptions& options)
    : length_(length),
      options_(options),
      eligible_(Complement(options.always_sent, length)),
      eligible_count_(TotalLength(eligible_)),
      k_(eligible_.empty() ? 0 : SelectedCount(eligible_count_, options.ratio)) {}

void TopKCompressor::Pass(absl::Span<const float> input, uint32_t begin, absl::Span<float> residual, uint32_t least_key,
                          PassSummary* summary) {
  const auto end = static_cast<uint32_t>(begin + input.size());
  uint32_t done = begin;
  const auto pass_to = [&](uint32_t stop, uint32_t key) {
    stop = std::min(stop, end);
    if (stop <= done) return;
    CompensateAndCollect(input.subspan(done - begin, stop - done), residual, done, key, &candidates(), summary);
    done = stop;
  };
  for (const BucketSlice& slice : eligible_) {
    pass_to(slice.begin, kNoCandidates);
    pass_to(slice.end, least_key);
  }
  pass_to(end, kNoCandidates);
}

uint32_t TopKCompressor::CarriedKey() const {
  if (adaptive_.known()) return adaptive_.key();
  if (carried_.known()) return carried_.least_key();
  return kNoCandidates;
}

uint32_t TopKCompressor::CollectAgain(absl::Span<const float> residual, uint32_t failed) {
  if (carried_.known() || failed == kNoCandidates) {  // otherwise an estimate has just failed
    const uint32_t least_key = EstimateLeastKey(residual, {}, k_);
    candidates().set_size(0);
    bool fits = true;
    for (const BucketSlice& slice : eligible_) {
      fits = fits &&
             Collect(residual.subspan(slice.begin, slice.end - slice.begin), slice.begin, least_key, &candidates());
    }
    if (fits && candidates().size() >= k_) return least_key;
  }
  return CollectLargest(residual, eligible_, k_, &candidates());
}

float TopKCompressor::Select(absl::Span<const float> residual, uint32_t least_key, bool complete) {
  const size_t size = candidates().size();
  if (adaptive_.known() && complete && size >= (k_ + 1) / 2 && size <= 2 * size_t{k_}) {
    const float threshold = *std::min_element(candidates().values(), candidates().values() + size, MagnitudeLess);
    adaptive_.Adapt(size, k_);
    return std::fabs(threshold);
  }
  if (least_key != kNoCandidates) carried_.Judge(size, k_, !complete, {});
  if (!complete || size < k_) least_key = CollectAgain(residual, least_key);
  const float threshold = std::bit_cast<float>(selector_.Keep(k_, least_key, &candidates()));
  carried_.Carry(threshold);
  if (options_.selection == Selection::kThreshold) adaptive_.Set(threshold);
  return threshold;
}

void TopKCompressor::AddAlwaysSent(absl::Span<const float> residual) {
  scratch_->indices.clear();
  scratch_->values.clear();
  size_t from = 0;
  const auto append_selected = [this, &from](uint32_t below) {
    const uint32_t* const selected = candidates().indices();
    const size_t to = std::lower_bound(selected + from, selected + candidates().size(), below) - selected;
    scratch_->indices.insert(scratch_->indices.end(), selected + from, selected + to);
    scratch_->values.insert(scratch_->values.end(), candidates().values() + from, candidates().values() + to);
    from = to;
  };
  for (const BucketSlice& slice : options_.always_sent) {
    append_selected(slice.begin);
    for (uint32_t i = slice.begin; i < slice.end; ++i) scratch_->indices.push_back(i);
    scratch_->values.insert(scratch_->values.end(), residual.begin() + slice.begin, residual.begin() + slice.end);
  }
  append_selected(length_);
}

absl::StatusOr<CompressResult> TopKCompressor::Compress(absl::Span<const float> input, absl::Span<float> residual,
                                                        std::string* update) {
  if (input.size() != length_ || residual.size() != length_) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket has ", length_, " elements, input ", input.size(), ", residual ", residual.size()));
  }
  // Reads the input into the cache, for the pass that follows, so the check costs no memory traffic.
  if (!AllFinite(input)) return absl::InvalidArgumentError("input holds NaN or infinity");
  uint32_t least_key = selects() ? CarriedKey() : kNoCandidates;
  if (selects() && least_key == kNoCandidates) least_key = EstimateLeastKey(input, residual, k_);
  scratch_ = &ThreadScratch(CandidateCapacity(eligible_count_, k_));
  PassSummary summary;
  Pass(input, 0, residual, least_key, &summary);
  return Finish(summary, least_key, residual, update);
}

absl::StatusOr<CompressResult> TopKCompressor::CompressProduced(InputSource source, absl::Span<float> residual,
                                                                std::string* update) {
  const uint32_t least_key = selects() ? CarriedKey() : kNoCandidates;
  scratch_ = &ThreadScratch(CandidateCapacity(eligible_count_, k_));
  absl::StatusOr<PassSummary> summary = PassProduced(source, least_key, residual);
  if (!summary.ok()) return summary.status();
  return Finish(*summary, least_key, residual, update);
}

absl::StatusOr<CompressResult> TopKCompressor::CompressCounted(InputSource source, CountSource count,
                                                               absl::Span<float> residual, std::string* update) {
  counted_ = true;
  const uint32_t least_key = selects() ? CarriedKey() : kNoCandidates;
  scratch_ = &ThreadScratch(CandidateCapacity(eligible_count_, eligible_count_));
  absl::StatusOr<PassSummary> summary = PassProduced(source, least_key, residual);
  if (!summary.ok()) return summary.status();
  k_ = std::min(count(), eligible_count_);
  if (k_ == 0) candidates().set_size(0);
  return Finish(*summary, least_key, residual, update);
}

absl::StatusOr<PassSummary> TopKCompressor::PassProduced(InputSource source, uint32_t least_key,
                                                         absl::Span<float> residual) {
  if (residual.size() != length_) {
    return absl::InvalidArgumentError(absl::StrCat("bucket has ", length_, " elements, residual ", residual.size()));
  }
  PassSummary summary;
  for (uint32_t begin = 0; begin < length_; begin += kInputPiece) {
    const uint32_t end = std::min(length_, begin + kInputPiece);
    const absl::Span<const float> input = source(begin, end);
    CDDP_CHECK(input.size() == end - begin) << input.size() << " elements for [" << begin << ", " << end << ")";
    Pass(input, begin, residual, least_key, &summary);
    // Input that is not finite makes the residual not finite; so may finite input, by overflow.
    if (summary.largest_key >= kInfinityKey && !AllFinite(input)) {
      return absl::FailedPreconditionError("input holds NaN or infinity");
    }
  }
  return summary;
}

absl::StatusOr<CompressResult> TopKCompressor::Finish(const PassSummary& summary, uint32_t least_key,
                                                      absl::Span<float> residual, std::string* update) {
  if (summary.largest_key > kInfinityKey) return absl::FailedPreconditionError("residual holds NaN");
  const bool saturated = summary.largest_key == kInfinityKey;
  if (saturated) Saturate(residual);
  if (options_.ratio == 1) return SendDense(options_.value_encoding, residual, &scratch_->decoded, update);

  const float threshold = selects() ? Select(residual, least_key, !summary.overflow && !saturated) : 0;
  absl::Span<const uint32_t> indices(candidates().indices(), candidates().size());
  absl::Span<const float> values(candidates().values(), candidates().size());
  if (!options_.always_sent.empty()) {
    AddAlwaysSent(residual);
    indices = scratch_->indices;
    values = scratch_->values;
  }
  CompressResult result =
      counted_ ? SendSmallest(indices, values, summary.sum_sq, options_, residual, &scratch_->decoded, update)
               : SendSparse(indices, values, summary.sum_sq, options_.index_encoding, options_.value_encoding, residual,
                            &scratch_->decoded, update);
  result.threshold = threshold;
  return result;
}

}  // namespace cddp
