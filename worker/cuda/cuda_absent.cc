// Replaces the files that call CUDA in a build without it.

#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/cuda/cuda_stream.h"

namespace cddp {

absl::Status CudaAvailable() { return absl::UnimplementedError("this build has no CUDA (CMake option CDDP_CUDA)"); }

absl::StatusOr<int> CudaDeviceCount() { return CudaAvailable(); }
absl::StatusOr<ReadyToken> RecordReady(int device, void* stream) { return CudaAvailable(); }
absl::Status SynchroniseStream(int device, void* stream) { return CudaAvailable(); }

absl::StatusOr<std::shared_ptr<void>> AllocateOnDevice(int device, size_t bytes) { return CudaAvailable(); }
absl::Status CopyToDevice(int device, void* stream, void* to, const void* from, size_t bytes) {
  return CudaAvailable();
}
absl::Status CopyToHost(int device, void* stream, void* to, const void* from, size_t bytes) { return CudaAvailable(); }
absl::StatusOr<int> DeviceOf(const void* pointer) { return CudaAvailable(); }

absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeCudaBuckets(const ParameterLayout& layout,
                                                             const GradientCompressorOptions& options,
                                                             uint32_t worker_count,
                                                             const CudaBucketsOptions& cuda_options) {
  return CudaAvailable();
}

}  // namespace cddp
