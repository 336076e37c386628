// What a build without CUDA has in the place of cuda_pipeline.cc.

#include "worker/cuda/cuda_pipeline.h"

namespace cddp {

absl::Status CudaAvailable() { return absl::UnimplementedError("this build has no CUDA (CMake option CDDP_CUDA)"); }

absl::StatusOr<std::unique_ptr<device::DevicePipeline>> MakeCudaPipeline(const device::PipelineOptions& options) {
  return CudaAvailable();
}

}  // namespace cddp
