// From a worker's gradient to the bytes it pushes: local clipping, momentum correction, and error-feedback compression
// of every bucket, with a ratio that starts high.
//
// None of this applies to buckets of buffers: their gradient, the published buffers minus the worker's own
// (worker/exchange/buffer_difference.h), is pushed whole in fp32, so they have no residual.
//
// Lin et al. 2018, "Deep Gradient Compression": sections 3.1 (momentum correction), 3.2 (local clipping) and 3.3
// (warm-up: the ratio falls from 25 % by powers of four).

#ifndef WORKER_BUCKETS_GRADIENT_COMPRESSOR_H_
#define WORKER_BUCKETS_GRADIENT_COMPRESSOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/compress/bucket_compressor.h"
#include "common/compress/momentum_correction.h"
#include "common/layout/parameter_layout.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

struct GradientCompressorOptions {
  CompressorOptions compressor;        // ratio 1: dense
  double residual_decay = 1;           // factor of the residual before each step (SparseLoCo); 1: no decay
  uint64_t small_tensor_elements = 0;  // tensors smaller than this are sent whole
  double momentum_correction = 0;      // momentum kept by the worker, instead of the server's; 0: none
  double clip_norm = 0;                // limit of the norm of all workers' summed gradients; 0: none
  uint64_t ratio_warmup_steps = 0;     // steps until the ratio is reached; 0: from the first
};

// InvalidArgument names the worker's flag whose value makes no sense.
absl::Status Validate(const GradientCompressorOptions& options);

// The ratio of `step`, counted from 1: four phases of equal length at 25 %, 6.25 %, 1.56 % and 0.39 %, but never below
// options.compressor.ratio, which follows.
double RatioOfStep(const GradientCompressorOptions& options, uint64_t step);

// Holds the residual and, with momentum correction, the velocity: 4 or 8 bytes per element. Not thread-safe.
class GradientCompressor {
 public:
  static absl::StatusOr<std::unique_ptr<GradientCompressor>> Create(const ParameterLayout& layout,
                                                                    const GradientCompressorOptions& options,
                                                                    int worker_count);

  // Clipping needs the norm of the whole gradient, so no bucket can be compressed before all are complete.
  bool needs_whole_gradient() const { return options_.clip_norm > 0; }

  // Call it between two steps; holds from the next one on. An adapted threshold is kept. InvalidArgument, without any
  // change, for a level that makes no sense.
  absl::Status SetLevel(const SendLevel& level);

  // Begins `step`, counted from 1. `gradients` (total_elements, including buffers' differences) must be complete only
  // if needs_whole_gradient(). The norm is that of the parameters' gradients.
  void BeginStep(uint64_t step, absl::Span<const float> gradients);

  // Replaces *update by the bytes to push for a bucket. InvalidArgument, without any change, if the gradient is not
  // finite.
  absl::StatusOr<CompressResult> Compress(uint32_t bucket, absl::Span<const float> gradient, std::string* update);

  // The outcome of the bytes of a bucket's last Compress: they count, or the step was refused and they return to the
  // residual. Those of buffers are dropped, since a worker's buffers become the published ones in any case.
  void Accepted(uint32_t bucket, absl::string_view update);
  void Refused(uint32_t bucket, absl::string_view update);

  absl::Span<const float> residual() const { return residual_; }

  // Saves or restores the state for a checkpoint, between two steps. SetState: InvalidArgument if it is of another
  // model or other options.
  BucketEngineState State() const;
  absl::Status SetState(const BucketEngineState& state);

 private:
  GradientCompressor(const ParameterLayout& layout, const GradientCompressorOptions& options, int worker_count);

  bool IsBuffers(uint32_t bucket) const { return layout_.bucket_kind(bucket) == TensorKind::kBuffer; }
  absl::StatusOr<CompressResult> SendWhole(absl::Span<const float> gradient, std::string* update);
  absl::Status MakeCompressors(double ratio);
  absl::Span<float> ResidualOf(uint32_t bucket);

  const ParameterLayout layout_;
  GradientCompressorOptions options_;  // SetLevel changes the compressor's
  const int worker_count_;
  std::vector<float> residual_;                  // of the parameters
  std::vector<MomentumCorrection> corrections_;  // by bucket of parameters; empty without momentum correction
  std::vector<std::unique_ptr<BucketCompressor>> compressors_;  // by bucket of parameters
  double ratio_ = 0;                                            // of compressors_
  float scale_ = 1;                                             // of this step's gradient
  std::vector<float> scaled_;                                   // a bucket's gradient, to be changed
};

}  // namespace cddp

#endif  // WORKER_BUCKETS_GRADIENT_COMPRESSOR_H_
