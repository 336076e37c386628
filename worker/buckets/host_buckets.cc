#include "worker/buckets/host_buckets.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/codec/crc32c.h"
#include "common/codec/update_codec.h"

namespace cddp {

absl::StatusOr<std::unique_ptr<HostBuckets>> HostBuckets::Create(const ParameterLayout& layout,
                                                                 const GradientCompressorOptions& options,
                                                                 uint32_t worker_count) {
  absl::StatusOr<std::unique_ptr<GradientCompressor>> compressor =
      GradientCompressor::Create(layout, options, static_cast<int>(worker_count));
  if (!compressor.ok()) return compressor.status();
  return std::unique_ptr<HostBuckets>(new HostBuckets(layout, *std::move(compressor)));
}

void HostBuckets::BindBuffers(absl::Span<const float> differences, absl::Span<float> published) {
  buffer_differences_ = differences;
  buffers_ = published;
}

void HostBuckets::Bind(absl::Span<const float> gradients, absl::Span<float> weights) {
  gradients_ = gradients;
  weights_ = weights;
}

absl::Span<const float> HostBuckets::GradientsOf(uint32_t bucket) const {
  const ElementRange range = layout_.bucket_range(bucket);
  if (buffers_.empty() || range.begin < gradients_.size()) return gradients_.subspan(range.begin, range.size());
  return buffer_differences_.subspan(range.begin - gradients_.size(), range.size());
}

absl::Span<float> HostBuckets::WeightsOf(uint32_t bucket) const {
  const ElementRange range = layout_.bucket_range(bucket);
  if (buffers_.empty() || range.begin < weights_.size()) return weights_.subspan(range.begin, range.size());
  return buffers_.subspan(range.begin - weights_.size(), range.size());
}

void HostBuckets::Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) {
  EncodedBucket encoded;
  std::string update;
  const absl::StatusOr<CompressResult> result = compressor_->Compress(bucket, GradientsOf(bucket), &update);
  encoded.finite = result.ok();
  if (result.ok()) {
    encoded.update = SharedBytes::Own(std::move(update));
    encoded.selected = result->selected;
    encoded.residual_sq = result->residual_sq;
  }
  if (with_checksum) {
    const absl::Span<const float> replica = WeightsOf(bucket);
    encoded.replica_crc32c = Crc32c(replica.data(), replica.size() * sizeof(float));
  }
  done(std::move(encoded));
}

void HostBuckets::Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) {
  if (!pushed.empty() && reply.refused) {
    compressor_->Refused(bucket, pushed.view());
  } else if (!pushed.empty()) {
    compressor_->Accepted(bucket, pushed.view());
  }
  const absl::Span<float> replica = WeightsOf(bucket);
  // Adding to minus zero gives every value unchanged, so the sum below is the update bit for bit.
  if (reply.replaces) std::fill(replica.begin(), replica.end(), -0.0f);
  absl::Status status;
  for (const SharedBytes& update : reply.updates) {
    if (status.ok()) status = AddUpdate(update.view(), replica);
  }
  done(std::move(status));
}

SharedBytes HostBuckets::EncodeWeights(uint32_t bucket) {
  std::string update;
  EncodeDense(WeightsOf(bucket), ValueEncoding::kFp32, &update);
  return SharedBytes::Own(std::move(update));
}

void HostBuckets::SetWeights(uint32_t bucket, absl::Span<const float> weights) {
  std::copy(weights.begin(), weights.end(), WeightsOf(bucket).begin());
}

void HostBuckets::ClearWeights(uint32_t bucket) {
  const absl::Span<float> weights = WeightsOf(bucket);
  std::fill(weights.begin(), weights.end(), 0.0f);
}

absl::StatusOr<std::unique_ptr<GradientExchange>> MakeHostExchange(const ParameterLayout& layout,
                                                                   const GradientCompressorOptions& options,
                                                                   Cluster* cluster) {
  absl::StatusOr<std::unique_ptr<HostBuckets>> engine = HostBuckets::Create(layout, options, cluster->worker_count());
  if (!engine.ok()) return engine.status();
  return std::make_unique<GradientExchange>(layout, *std::move(engine), cluster);
}

}  // namespace cddp
