#include "worker/cuda/cuda_buckets.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/cuda/cuda_device.h"
#include "worker/cuda/cuda_stream.h"
#include "worker/cuda/device_buckets.h"

namespace cddp {

absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeCudaBuckets(const ParameterLayout& layout,
                                                             const GradientCompressorOptions& options,
                                                             uint32_t worker_count,
                                                             const CudaBucketsOptions& cuda_options) {
  if (absl::Status status = CudaAvailable(); !status.ok()) return status;
  std::string error;
  device::DeviceParts device = device::MakeCudaDevice(cuda_options.device, cuda_options.stream, &error);
  if (device.queue == nullptr) {
    return absl::UnavailableError(absl::StrCat("GPU ", cuda_options.device, ": ", error));
  }
  return DeviceBuckets::Create(layout, options, worker_count, std::move(device));
}

}  // namespace cddp
