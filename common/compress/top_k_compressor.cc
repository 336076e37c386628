#include "common/compress/top_k_compressor.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/codec/update_codec.h"
#include "common/compress/finite.h"
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

// Room for three times what is selected, so that a threshold somewhat too low is no failure.
size_t CandidateCapacity(uint32_t eligible, uint32_t k) {
  return std::min<size_t>(eligible, 3 * size_t{k} + 4096) + 1024;
}

// Sums of finite values may have overflowed; they count as the largest float then.
void Saturate(absl::Span<float> values) {
  for (float& value : values) value = std::clamp(value, -FLT_MAX, FLT_MAX);
}

bool MagnitudeLess(float a, float b) { return std::fabs(a) < std::fabs(b); }

}  // namespace

TopKCompressor::TopKCompressor(uint32_t length, const CompressorOptions& options)
    : length_(length),
      options_(options),
      eligible_(Complement(options.always_sent, length)),
      k_(eligible_.empty() ? 0 : SelectedCount(TotalLength(eligible_), options.ratio)),
      candidates_(CandidateCapacity(TotalLength(eligible_), k_)) {}

void TopKCompressor::Pass(absl::Span<const float> input, uint32_t begin, absl::Span<float> residual, uint32_t least_key,
                          PassSummary* summary) {
  const auto end = static_cast<uint32_t>(begin + input.size());
  uint32_t done = begin;
  const auto pass_to = [&](uint32_t stop, uint32_t key) {
    stop = std::min(stop, end);
    if (stop <= done) return;
    CompensateAndCollect(input.subspan(done - begin, stop - done), residual, done, key, &candidates_, summary);
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
  if (carried_.known() || failed == kNoCandidates) {  // else an estimate has just failed
    const uint32_t least_key = EstimateLeastKey(residual, {}, k_);
    candidates_.set_size(0);
    bool fits = true;
    for (const BucketSlice& slice : eligible_) {
      fits = fits && Collect(residual, slice.begin, slice.end, least_key, &candidates_);
    }
    if (fits && candidates_.size() >= k_) return least_key;
  }
  return CollectLargest(residual, eligible_, k_, &candidates_);
}

float TopKCompressor::Select(absl::Span<const float> residual, uint32_t least_key, bool complete) {
  const size_t size = candidates_.size();
  if (adaptive_.known() && complete && size >= (k_ + 1) / 2 && size <= 2 * size_t{k_}) {
    const float threshold = *std::min_element(candidates_.values(), candidates_.values() + size, MagnitudeLess);
    adaptive_.Adapt(size, k_);
    return std::fabs(threshold);
  }
  if (least_key != kNoCandidates) carried_.Judge(size, k_, !complete);
  if (!complete || size < k_) least_key = CollectAgain(residual, least_key);
  const float threshold = std::bit_cast<float>(selector_.Keep(k_, least_key, &candidates_));
  carried_.Carry(threshold);
  if (options_.selection == Selection::kThreshold) adaptive_.Set(threshold);
  return threshold;
}

void TopKCompressor::AddAlwaysSent(absl::Span<const float> residual) {
  indices_.clear();
  values_.clear();
  size_t from = 0;
  const auto append_selected = [this, &from](uint32_t below) {
    const uint32_t* const selected = candidates_.indices();
    const size_t to = std::lower_bound(selected + from, selected + candidates_.size(), below) - selected;
    indices_.insert(indices_.end(), selected + from, selected + to);
    values_.insert(values_.end(), candidates_.values() + from, candidates_.values() + to);
    from = to;
  };
  for (const BucketSlice& slice : options_.always_sent) {
    append_selected(slice.begin);
    for (uint32_t i = slice.begin; i < slice.end; ++i) indices_.push_back(i);
    values_.insert(values_.end(), residual.begin() + slice.begin, residual.begin() + slice.end);
  }
  append_selected(length_);
}

CompressResult TopKCompressor::SendSparse(absl::Span<const uint32_t> indices, absl::Span<const float> values,
                                          double sum_sq, absl::Span<float> residual, std::string* update) {
  CDDP_CHECK(indices.size() == values.size()) << indices.size() << " indices, " << values.size() << " values";
  decoded_.assign(values.begin(), values.end());
  EncodeSparse(indices, absl::MakeSpan(decoded_), length_, options_.index_encoding, options_.value_encoding, update);
  double sent_sq = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    const float error = values[i] - decoded_[i];
    residual[indices[i]] = error;
    sent_sq += static_cast<double>(values[i]) * values[i] - static_cast<double>(error) * error;
  }
  CompressResult result;
  result.selected = static_cast<uint32_t>(indices.size());
  result.residual_sq = std::max(0.0, sum_sq - sent_sq);
  return result;
}

CompressResult TopKCompressor::SendDense(absl::Span<float> residual, std::string* update) {
  decoded_.assign(residual.begin(), residual.end());
  EncodeAll(absl::MakeSpan(decoded_), options_.value_encoding, update);
  CompressResult result;
  result.selected = length_;
  for (size_t i = 0; i < length_; ++i) {
    residual[i] -= decoded_[i];
    result.residual_sq += static_cast<double>(residual[i]) * residual[i];
  }
  return result;
}

absl::StatusOr<CompressResult> TopKCompressor::Compress(absl::Span<const float> input, absl::Span<float> residual,
                                                        std::string* update) {
  if (input.size() != length_ || residual.size() != length_) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket has ", length_, " elements, input ", input.size(), ", residual ", residual.size()));
  }
  // Reads the input into the cache, from where the pass takes it: the check costs no memory traffic.
  if (!AllFinite(input)) return absl::InvalidArgumentError("input holds NaN or infinity");
  uint32_t least_key = selects() ? CarriedKey() : kNoCandidates;
  if (selects() && least_key == kNoCandidates) least_key = EstimateLeastKey(input, residual, k_);
  candidates_.set_size(0);
  PassSummary summary;
  Pass(input, 0, residual, least_key, &summary);
  return Finish(summary, least_key, residual, update);
}

absl::StatusOr<CompressResult> TopKCompressor::CompressProduced(InputSource source, absl::Span<float> residual,
                                                                std::string* update) {
  if (residual.size() != length_) {
    return absl::InvalidArgumentError(absl::StrCat("bucket has ", length_, " elements, residual ", residual.size()));
  }
  const uint32_t least_key = selects() ? CarriedKey() : kNoCandidates;
  candidates_.set_size(0);
  PassSummary summary;
  for (uint32_t begin = 0; begin < length_; begin += kInputPiece) {
    const uint32_t end = std::min(length_, begin + kInputPiece);
    const absl::Span<const float> input = source(begin, end);
    CDDP_CHECK(input.size() == end - begin) << input.size() << " elements for [" << begin << ", " << end << ")";
    if (!AllFinite(input)) return absl::FailedPreconditionError("input holds NaN or infinity");
    Pass(input, begin, residual, least_key, &summary);
  }
  return Finish(summary, least_key, residual, update);
}

absl::StatusOr<CompressResult> TopKCompressor::Finish(const PassSummary& summary, uint32_t least_key,
                                                      absl::Span<float> residual, std::string* update) {
  if (summary.largest_key > kInfinityKey) return absl::FailedPreconditionError("residual holds NaN");
  const bool saturated = summary.largest_key == kInfinityKey;
  if (saturated) Saturate(residual);
  if (options_.ratio == 1) return SendDense(residual, update);

  const float threshold = selects() ? Select(residual, least_key, !summary.overflow && !saturated) : 0;
  absl::Span<const uint32_t> indices(candidates_.indices(), candidates_.size());
  absl::Span<const float> values(candidates_.values(), candidates_.size());
  if (!options_.always_sent.empty()) {
    AddAlwaysSent(residual);
    indices = indices_;
    values = values_;
  }
  CompressResult result = SendSparse(indices, values, summary.sum_sq, residual, update);
  result.threshold = threshold;
  return result;
}

}  // namespace cddp
