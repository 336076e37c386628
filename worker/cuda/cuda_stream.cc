#include "worker/cuda/cuda_stream.h"

#include "worker/cuda/cuda_error.h"
#include "worker/cuda/cuda_event.h"

namespace cddp {

absl::Status CudaAvailable() { return CudaDeviceCount().status(); }

absl::StatusOr<int> CudaDeviceCount() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  return absl::UnavailableError(
      absl::StrCat("no GPU to be used: ", error == cudaSuccess ? "CUDA sees none" : cudaGetErrorString(error)));
}

absl::StatusOr<ReadyToken> RecordReady(int device, void* stream) {
  absl::StatusOr<std::shared_ptr<const cudaEvent_t>> event = RecordEvent(device, static_cast<cudaStream_t>(stream));
  if (!event.ok()) return event.status();
  return *std::move(event);
}

absl::Status SynchroniseStream(int device, void* stream) {
  const OnDevice on_device(device);
  if (!on_device.status().ok()) return on_device.status();
  return CudaStatus(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "waiting for a stream");
}

}  // namespace cddp
