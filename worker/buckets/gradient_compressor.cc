#include "worker/buckets/gradient_compressor.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "common/compress/finite.h"

namespace cddp {
namespace {

constexpr int kWarmupStages = 4;

}  // namespace

absl::Status Validate(const GradientCompressorOptions& options) {
  if (!(options.compressor.ratio > 0 && options.compressor.ratio <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--ratio=", options.compressor.ratio, " is outside (0, 1]"));
  }
  if (!(options.residual_decay >= 0 && options.residual_decay <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--residual_decay=", options.residual_decay, " is outside [0, 1]"));
  }
  if (!(options.momentum_correction >= 0 && options.momentum_correction < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--momentum_correction=", options.momentum_correction, " is outside [0, 1)"));
  }
  if (!(options.clip_norm >= 0) || std::isinf(options.clip_norm)) {
    return absl::InvalidArgumentError(absl::StrCat("--clip_norm=", options.clip_norm, " is below 0"));
  }
  return absl::OkStatus();
}

double RatioOfStep(const GradientCompressorOptions& options, uint64_t step) {
  const double ratio = options.compressor.ratio;
  if (step > options.ratio_warmup_steps) return ratio;
  const uint64_t stage = (step - 1) * kWarmupStages / options.ratio_warmup_steps;
  return std::max(ratio, std::pow(0.25, static_cast<double>(stage + 1)));
}

absl::StatusOr<std::unique_ptr<GradientCompressor>> GradientCompressor::Create(const ParameterLayout& layout,
                                                                               const GradientCompressorOptions& options,
                                                                               int worker_count) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  std::unique_ptr<GradientCompressor> compressor(new GradientCompressor(layout, options, worker_count));
  if (absl::Status status = compressor->MakeCompressors(RatioOfStep(options, 1)); !status.ok()) return status;
  return compressor;
}

GradientCompressor::GradientCompressor(const ParameterLayout& layout, const GradientCompressorOptions& options,
                                       int worker_count)
    : layout_(layout), options_(options), worker_count_(worker_count), residual_(layout.parameter_elements()) {
  for (uint32_t bucket = 0; options.momentum_correction > 0 && bucket < layout.bucket_count(); ++bucket) {
    if (IsBuffers(bucket)) break;
    corrections_.emplace_back(layout.bucket_length(bucket), static_cast<float>(options.momentum_correction));
  }
}

absl::Status GradientCompressor::MakeCompressors(double ratio) {
  CompressorOptions options = options_.compressor;
  options.ratio = ratio;
  compressors_.clear();
  for (uint32_t bucket = 0; bucket < layout_.bucket_count(); ++bucket) {
    if (IsBuffers(bucket)) break;
    options.always_sent.clear();
    for (const ElementRange& range : layout_.SmallTensorRanges(bucket, options_.small_tensor_elements)) {
      options.always_sent.push_back({static_cast<uint32_t>(range.begin), static_cast<uint32_t>(range.end)});
    }
    absl::StatusOr<std::unique_ptr<BucketCompressor>> compressor =
        BucketCompressor::Create(layout_.bucket_length(bucket), options);
    if (!compressor.ok()) return compressor.status();
    compressors_.push_back(*std::move(compressor));
  }
  ratio_ = ratio;
  return absl::OkStatus();
}

absl::Status GradientCompressor::SetLevel(const SendLevel& level) {
  CompressorOptions& now = options_.compressor;
  if (ratio_ == level.ratio && SendLevel{now.ratio, now.value_encoding, now.index_encoding} == level) {
    return absl::OkStatus();
  }
  GradientCompressorOptions next = options_;
  next.compressor.ratio = level.ratio;
  next.compressor.value_encoding = level.value_encoding;
  next.compressor.index_encoding = level.index_encoding;
  if (absl::Status status = Validate(next); !status.ok()) return status;
  const GradientCompressorOptions before = std::exchange(options_, next);
  std::vector<float> thresholds;
  for (const auto& compressor : compressors_) thresholds.push_back(compressor->threshold());
  if (absl::Status status = MakeCompressors(level.ratio); !status.ok()) {
    options_ = before;
    MakeCompressors(before.compressor.ratio).IgnoreError();  // the options were valid before
    return status;
  }
  for (size_t bucket = 0; bucket < compressors_.size(); ++bucket) {
    compressors_[bucket]->set_threshold(thresholds[bucket]);
  }
  return absl::OkStatus();
}

absl::Span<float> GradientCompressor::ResidualOf(uint32_t bucket) {
  const ElementRange range = layout_.bucket_range(bucket);
  return absl::MakeSpan(residual_).subspan(range.begin, range.size());
}

void GradientCompressor::BeginStep(uint64_t step, absl::Span<const float> gradients) {
  // The options were valid with the first ratio, so they are with a smaller one.
  if (const double ratio = RatioOfStep(options_, step); ratio != ratio_) MakeCompressors(ratio).IgnoreError();
  scale_ = 1;
  if (!needs_whole_gradient()) return;
  const double sum_sq = SumOfSquares(gradients.first(layout_.parameter_elements()));
  if (std::isfinite(sum_sq)) scale_ = ClipScale(sum_sq, options_.clip_norm, worker_count_);
}

absl::StatusOr<CompressResult> GradientCompressor::SendWhole(absl::Span<const float> gradient, std::string* update) {
  if (!AllFinite(gradient)) return absl::InvalidArgumentError("a buffer is not finite");
  scaled_.assign(gradient.begin(), gradient.end());
  EncodeDense(absl::MakeSpan(scaled_), ValueEncoding::kFp32, update);
  CompressResult result;
  result.selected = static_cast<uint32_t>(gradient.size());
  return result;
}

absl::StatusOr<CompressResult> GradientCompressor::Compress(uint32_t bucket, absl::Span<const float> gradient,
                                                            std::string* update) {
  if (IsBuffers(bucket)) return SendWhole(gradient, update);
  const absl::Span<float> residual = ResidualOf(bucket);
  if (options_.residual_decay != 1) {
    if (!AllFinite(gradient)) return absl::InvalidArgumentError("input holds NaN or infinity");
    const auto decay = static_cast<float>(options_.residual_decay);
    for (float& held : residual) held *= decay;
  }
  if (!corrections_.empty()) {
    absl::StatusOr<absl::Span<const float>> velocity = corrections_[bucket].Accumulate(gradient, scale_);
    if (!velocity.ok()) return velocity.status();
    gradient = *velocity;
  } else if (scale_ != 1) {
    scaled_.assign(gradient.begin(), gradient.end());
    for (float& value : scaled_) value *= scale_;
    gradient = scaled_;
  }
  return compressors_[bucket]->Compress(gradient, residual, update);
}

void GradientCompressor::Accepted(uint32_t bucket, absl::string_view update) {
  // These are our own bytes, so they decode.
  if (!corrections_.empty() && !update.empty() && !IsBuffers(bucket))
    corrections_[bucket].ClearSent(update).IgnoreError();
}

void GradientCompressor::Refused(uint32_t bucket, absl::string_view update) {
  if (!update.empty() && !IsBuffers(bucket)) AddUpdate(update, ResidualOf(bucket)).IgnoreError();
}

BucketEngineState GradientCompressor::State() const {
  BucketEngineState state = {ratio_, residual_, {}, {}};
  for (const MomentumCorrection& correction : corrections_) {
    state.velocity.insert(state.velocity.end(), correction.velocity().begin(), correction.velocity().end());
  }
  for (const auto& compressor : compressors_) state.thresholds.push_back(compressor->threshold());
  return state;
}

absl::Status GradientCompressor::SetState(const BucketEngineState& state) {
  if (state.residual.size() != residual_.size() || state.thresholds.size() != compressors_.size()) {
    return absl::InvalidArgumentError("the residual is of another model");
  }
  if (state.velocity.size() != (corrections_.empty() ? 0 : residual_.size())) {
    return absl::InvalidArgumentError("the residual is of a run with another --momentum_correction");
  }
  if (absl::Status status = MakeCompressors(state.ratio); !status.ok()) return status;
  for (size_t bucket = 0; bucket < compressors_.size(); ++bucket) {
    compressors_[bucket]->set_threshold(state.thresholds[bucket]);
  }
  residual_ = state.residual;
  const float* from = state.velocity.data();
  for (MomentumCorrection& correction : corrections_) {
    std::copy_n(from, correction.velocity().size(), correction.velocity().begin());
    from += correction.velocity().size();
  }
  return absl::OkStatus();
}

}  // namespace cddp
