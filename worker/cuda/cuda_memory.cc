#include "worker/cuda/cuda_memory.h"

#include "worker/cuda/cuda_error.h"

namespace cddp {
namespace {

absl::Status Copy(int device, void* stream, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const OnDevice on_device(device);
  if (!on_device.status().ok()) return on_device.status();
  const auto on = static_cast<cudaStream_t>(stream);
  absl::Status status = CudaStatus(cudaMemcpyAsync(to, from, bytes, kind, on), "a copy");
  if (status.ok()) status = CudaStatus(cudaStreamSynchronize(on), "waiting for a copy");
  return status;
}

}  // namespace

absl::StatusOr<std::shared_ptr<void>> AllocateOnDevice(int device, size_t bytes) {
  const OnDevice on_device(device);
  if (!on_device.status().ok()) return on_device.status();
  void* memory = nullptr;
  absl::Status status = CudaStatus(cudaMalloc(&memory, bytes), absl::StrCat(bytes, " bytes of device memory"));
  if (!status.ok()) return status;
  return std::shared_ptr<void>(memory, [](void* of) { cudaFree(of); });
}

absl::Status CopyToDevice(int device, void* stream, void* to, const void* from, size_t bytes) {
  return Copy(device, stream, to, from, bytes, cudaMemcpyHostToDevice);
}

absl::Status CopyToHost(int device, void* stream, void* to, const void* from, size_t bytes) {
  return Copy(device, stream, to, from, bytes, cudaMemcpyDeviceToHost);
}

absl::StatusOr<int> DeviceOf(const void* pointer) {
  cudaPointerAttributes attributes;
  absl::Status status = CudaStatus(cudaPointerGetAttributes(&attributes, pointer), "looking at a pointer");
  if (!status.ok()) return status;
  if (attributes.type != cudaMemoryTypeDevice) return absl::InvalidArgumentError("the pointer is not a GPU's");
  return attributes.device;
}

}  // namespace cddp
