#include "worker/cuda/cuda_pipeline.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "worker/cuda/cuda_device.h"
#include "worker/cuda/cuda_stream.h"

namespace cddp {

absl::StatusOr<std::unique_ptr<device::DevicePipeline>> MakeCudaPipeline(const device::PipelineOptions& options) {
  if (absl::Status status = CudaAvailable(); !status.ok()) return status;
  std::string error;
  std::unique_ptr<device::DevicePipeline> pipeline = device::MakeCudaPipeline(options, &error);
  if (pipeline == nullptr) return absl::ResourceExhaustedError(absl::StrCat("device memory: ", error));
  return pipeline;
}

}  // namespace cddp
