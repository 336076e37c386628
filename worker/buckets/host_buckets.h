// The bucket engine of the host's processors: gradients, residuals and weights lie in its memory, and every call
// completes before it returns.

#ifndef WORKER_BUCKETS_HOST_BUCKETS_H_
#define WORKER_BUCKETS_HOST_BUCKETS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "worker/buckets/gradient_compressor.h"
#include "worker/exchange/bucket_engine.h"
#include "worker/exchange/cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {

// Holds the residual and, with momentum correction, the velocity: 4 or 8 bytes per element. The calling thread must
// keep denormal numbers (GradientExchange's does). Not thread-safe.
class HostBuckets final : public BucketEngine {
 public:
  // InvalidArgument for options that make no sense.
  static absl::StatusOr<std::unique_ptr<HostBuckets>> Create(const ParameterLayout& layout,
                                                             const GradientCompressorOptions& options,
                                                             uint32_t worker_count);

  // Call it before the first Bind, whose spans then have parameter_elements(): from then on the buffers' differences
  // and published values lie in separate arrays.
  void BindBuffers(absl::Span<const float> differences, absl::Span<float> published);

  void Bind(absl::Span<const float> gradients, absl::Span<float> weights) override;
  bool needs_whole_gradient() const override { return compressor_->needs_whole_gradient(); }
  uint32_t most_encodings() const override { return 1; }
  absl::Status SetLevel(const SendLevel& level) override { return compressor_->SetLevel(level); }
  void BeginGradients(uint64_t step) override { compressor_->BeginStep(step, gradients_); }
  void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) override;
  void TakeBack(uint32_t bucket, const SharedBytes& update) override { compressor_->Refused(bucket, update.view()); }
  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) override;
  SharedBytes EncodeWeights(uint32_t bucket) override;
  void SetWeights(uint32_t bucket, absl::Span<const float> weights) override;
  void ClearWeights(uint32_t bucket) override;
  BucketEngineState State() const override { return compressor_->State(); }
  absl::Status SetState(const BucketEngineState& state) override { return compressor_->SetState(state); }

 private:
  HostBuckets(const ParameterLayout& layout, std::unique_ptr<GradientCompressor> compressor)
      : layout_(layout), compressor_(std::move(compressor)) {}

  absl::Span<const float> GradientsOf(uint32_t bucket) const;
  absl::Span<float> WeightsOf(uint32_t bucket) const;

  const ParameterLayout layout_;
  const std::unique_ptr<GradientCompressor> compressor_;
  absl::Span<const float> gradients_;
  absl::Span<float> weights_;
  // Empty: they follow the parameters' elements.
  absl::Span<const float> buffer_differences_;
  absl::Span<float> buffers_;
};

// An exchange with the host's engine. `cluster` must outlive it. Errors of HostBuckets::Create.
absl::StatusOr<std::unique_ptr<GradientExchange>> MakeHostExchange(const ParameterLayout& layout,
                                                                   const GradientCompressorOptions& options,
                                                                   Cluster* cluster);

}  // namespace cddp

#endif  // WORKER_BUCKETS_HOST_BUCKETS_H_
