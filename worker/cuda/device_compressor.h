// Error-feedback top-k of a bucket that lies in device memory: the contract of common/compress/bucket_compressor.h, and
// the same bytes as the CPU's for the same input.
//
// Done on the device: every value encoding with 8-bit gaps. Not done: Golomb-Rice codes, bitmaps and ratio 1, for which
// Create returns Unimplemented; compress these on the CPU.

#ifndef WORKER_CUDA_DEVICE_COMPRESSOR_H_
#define WORKER_CUDA_DEVICE_COMPRESSOR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/compress/bucket_compressor.h"
#include "common/compress/carried_threshold.h"
#include "worker/cuda/device_pipeline.h"

namespace cddp {

// One step at a time, Start and then Finish; any thread.
class DeviceCompressor {
 public:
  // Makes the kernels' pipeline: MakeCudaPipeline (cuda_pipeline.h), or one that runs on the host, for tests.
  using PipelineFactory =
      std::function<absl::StatusOr<std::unique_ptr<device::DevicePipeline>>(const device::PipelineOptions&)>;

  // InvalidArgument as BucketCompressor::Create; Unimplemented see above; errors of the factory.
  static absl::StatusOr<std::unique_ptr<DeviceCompressor>> Create(uint32_t length, const CompressorOptions& options,
                                                                  const PipelineFactory& make_pipeline);

  // Queues the compression of `input` with `residual`, both in device memory, `length` elements. They must live until
  // Finish, and be complete: the pipeline's stream is its own and does not wait for others.
  absl::Status Start(const float* input, float* residual);

  // Waits, and sets *update to bytes that are valid until the next Start. When the carried threshold did not fit,
  // queues the exact search and waits again. Errors as of BucketCompressor::Compress; Internal for a device's.
  absl::StatusOr<CompressResult> Finish(absl::string_view* update);

  device::DevicePipeline& pipeline() { return *pipeline_; }

 private:
  DeviceCompressor(const CompressorOptions& options, const device::Wanted& wanted,
                   std::unique_ptr<device::DevicePipeline> pipeline)
      : selection_(options.selection), wanted_(wanted), pipeline_(std::move(pipeline)) {}

  absl::Status DeviceError() const;

  const Selection selection_;
  const device::Wanted wanted_;
  const std::unique_ptr<device::DevicePipeline> pipeline_;
  CarriedThreshold carried_;
  AdaptiveThreshold adaptive_;
  uint32_t least_key_ = device::kNoCandidatesKey;  // of the step under way
};

}  // namespace cddp

#endif  // WORKER_CUDA_DEVICE_COMPRESSOR_H_
