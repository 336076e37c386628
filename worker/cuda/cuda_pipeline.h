// The compression pipeline on an NVIDIA GPU. Never run on a GPU so far; its kernels run in tests on the host.
//
// In a build without nvcc (CMake option CDDP_CUDA) both functions return Unimplemented.

#ifndef WORKER_CUDA_CUDA_PIPELINE_H_
#define WORKER_CUDA_CUDA_PIPELINE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/cuda/device_pipeline.h"

namespace cddp {

// Is there a GPU and a driver? Unavailable says why not.
absl::Status CudaAvailable();

// On the current device, with a stream of its own. ResourceExhausted without memory.
absl::StatusOr<std::unique_ptr<device::DevicePipeline>> MakeCudaPipeline(const device::PipelineOptions& options);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_PIPELINE_H_
