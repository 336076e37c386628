// The compression pipeline on an NVIDIA GPU. In a build without nvcc (CMake option CDDP_CUDA) it is Unimplemented.

#ifndef WORKER_CUDA_CUDA_PIPELINE_H_
#define WORKER_CUDA_CUDA_PIPELINE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/cuda/device_pipeline.h"

namespace cddp {

// On the current device, with a stream of its own. ResourceExhausted without memory.
absl::StatusOr<std::unique_ptr<device::DevicePipeline>> MakeCudaPipeline(const device::PipelineOptions& options);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_PIPELINE_H_
