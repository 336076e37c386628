#include "common/compress/touched_compressor.h"

#include <algorithm>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/compress/finite.h"
#include "common/compress/scratch.h"
#include "common/compress/send.h"

namespace cddp {
namespace {

// The least key of elements that are not zero.
constexpr uint32_t kNotZero = 1;

// Room that the collecting loop needs beyond the elements that it appends.
constexpr uint32_t kRoom = 1024;

// Calls `others` with the parts of [begin, end) outside of all slices and `sliced` with those inside, in order.
template <typename Others, typename Sliced>
void Walk(const std::vector<BucketSlice>& slices, uint32_t begin, uint32_t end, Others others, Sliced sliced) {
  for (const BucketSlice& slice : slices) {
    const uint32_t slice_begin = std::clamp(slice.begin, begin, end);
    const uint32_t slice_end = std::clamp(slice.end, begin, end);
    others(begin, slice_begin);
    sliced(slice_begin, slice_end);
    begin = slice_end;
  }
  others(begin, end);
}

uint32_t CountNotZero(absl::Span<const float> values) {
  uint32_t count = 0;
  for (const float value : values) count += value != 0 ? 1 : 0;
  return count;
}

// BucketCompressor::Create checks all of the options except the ratio, which is set to a valid one.
CompressorOptions WithRatio(CompressorOptions options) {
  options.ratio = options.index_encoding == IndexEncoding::kDense ? 1 : 0.01;
  options.selection = Selection::kTopK;
  return options;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TouchedCompressor>> TouchedCompressor::Create(uint32_t length, TouchedChoice choice,
                                                                             const CompressorOptions& options) {
  if (const auto checked = BucketCompressor::Create(length, WithRatio(options)); !checked.ok()) return checked.status();
  return std::unique_ptr<TouchedCompressor>(new TouchedCompressor(length, choice, options));
}

TouchedCompressor::TouchedCompressor(uint32_t length, TouchedChoice choice, const CompressorOptions& options)
    : length_(length), choice_(choice), options_(options), largest_(length, WithRatio(options)) {}

absl::StatusOr<CompressResult> TouchedCompressor::Compress(SumSource sum, Change change, absl::Span<float> residual,
                                                           std::string* update) {
  return choice_ == TouchedChoice::kLargest ? SendLargest(sum, change, residual, update)
                                            : SendTouched(sum, change, residual, update);
}

absl::StatusOr<CompressResult> TouchedCompressor::SendLargest(SumSource sum, Change change, absl::Span<float> residual,
                                                              std::string* update) {
  uint32_t touched = 0;
  const auto source = [&](uint32_t begin, uint32_t end) -> absl::Span<const float> {
    const absl::Span<float> piece = sum(begin, end);
    Walk(
        options_.always_sent, begin, end,
        [&](uint32_t from, uint32_t to) { touched += CountNotZero(piece.subspan(from - begin, to - from)); },
        [](uint32_t, uint32_t) {});
    change(begin, piece);
    return piece;
  };
  return largest_.CompressCounted(
      source, [&] { return touched; }, residual, update);
}

void TouchedCompressor::NoteTouched(uint32_t begin, absl::Span<const float> sum, Candidates* touched) const {
  Walk(
      options_.always_sent, begin, static_cast<uint32_t>(begin + sum.size()),
      [&](uint32_t from, uint32_t to) { Collect(sum.subspan(from - begin, to - from), from, kNotZero, touched); },
      [&](uint32_t from, uint32_t to) {
        std::iota(touched->indices() + touched->size(), touched->indices() + touched->size() + (to - from), from);
        touched->set_size(touched->size() + (to - from));
      });
}

absl::StatusOr<CompressResult> TouchedCompressor::SendTouched(SumSource sum, Change change, absl::Span<float> residual,
                                                              std::string* update) const {
  if (residual.size() != length_) {
    return absl::InvalidArgumentError(absl::StrCat("bucket has ", length_, " elements, residual ", residual.size()));
  }
  CompressScratch& scratch = ThreadScratch(length_ + kRoom);
  Candidates& touched = scratch.candidates;
  PassSummary summary;
  for (uint32_t begin = 0; begin < length_; begin += BucketCompressor::kInputPiece) {
    const absl::Span<float> piece = sum(begin, std::min(length_, begin + BucketCompressor::kInputPiece));
    const size_t first = touched.size();
    NoteTouched(begin, piece, &touched);
    change(begin, piece);
    CompensateAndCollect(piece, residual, begin, kNoCandidates, &touched, &summary);
    // Input that is not finite makes the residual not finite; so may finite input, by overflow.
    if (summary.largest_key >= kInfinityKey && !AllFinite(piece)) {
      return absl::FailedPreconditionError("input holds NaN or infinity");
    }
    for (size_t i = first; i < touched.size(); ++i) touched.values()[i] = residual[touched.indices()[i]];
  }
  if (summary.largest_key > kInfinityKey) return absl::FailedPreconditionError("residual holds NaN");
  const absl::Span<float> values(touched.values(), touched.size());
  if (summary.largest_key == kInfinityKey) {
    Saturate(residual);
    Saturate(values);
  }
  return SendSmallest({touched.indices(), touched.size()}, values, summary.sum_sq, options_, residual, &scratch.decoded,
                      update);
}

}  // namespace cddp
