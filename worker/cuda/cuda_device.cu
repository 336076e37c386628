#include <utility>
#include <vector>

#include "worker/cuda/cuda_device.h"
#include "worker/cuda/device_buffer.h"
#include "worker/cuda/pipeline_steps.h"

namespace cddp::device {
namespace {

template <typename Kernel>
__global__ void __launch_bounds__(kThreads) RunKernel(const Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  kernel(CudaBlock(), shared);
}

// The Device of PipelineSteps: one stream, and the memory.
class CudaDevice {
 public:
  CudaDevice() = default;
  CudaDevice(CudaDevice&& other) noexcept
      : stream_(std::exchange(other.stream_, nullptr)), buffers_(std::move(other.buffers_)), error_(other.error_) {}
  ~CudaDevice() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  bool Init() { return Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }

  bool Allocate(size_t bytes, void** memory) { return Allocate(DeviceBuffer::Kind::kDevice, bytes, memory); }
  bool AllocateHost(size_t bytes, void** memory) { return Allocate(DeviceBuffer::Kind::kPinnedHost, bytes, memory); }
  bool Zero(void* memory, size_t bytes) { return Check(cudaMemsetAsync(memory, 0, bytes, stream_)); }
  template <typename Kernel>
  bool Launch(const Kernel& kernel, uint32_t blocks) {
    RunKernel<<<blocks, kThreads, 0, stream_>>>(kernel);
    return Check(cudaGetLastError());
  }
  bool QueueCopyToHost(const void* from, size_t bytes, void* to) {
    return Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
  }
  bool Copy(const void* from, size_t bytes, void* to, bool to_device) {
    const cudaMemcpyKind kind = to_device ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
    return Check(cudaMemcpyAsync(to, from, bytes, kind, stream_)) && Wait();
  }
  bool Wait() { return Check(cudaStreamSynchronize(stream_)); }
  const char* error() const { return cudaGetErrorString(error_); }

 private:
  bool Allocate(DeviceBuffer::Kind kind, size_t bytes, void** memory) {
    DeviceBuffer buffer;
    if (!Check(buffer.Allocate(kind, bytes))) return false;
    *memory = buffer.get();
    buffers_.push_back(std::move(buffer));
    return true;
  }

  bool Check(cudaError_t error) {
    if (error != cudaSuccess) error_ = error;
    return error == cudaSuccess;
  }

  cudaStream_t stream_ = nullptr;
  std::vector<DeviceBuffer> buffers_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace

std::unique_ptr<DevicePipeline> MakeCudaPipeline(const PipelineOptions& options, std::string* error) {
  CudaDevice device;
  if (!device.Init()) {
    *error = device.error();
    return nullptr;
  }
  auto pipeline = std::make_unique<PipelineSteps<CudaDevice>>(std::move(device));
  if (pipeline->Init(options)) return pipeline;
  *error = pipeline->error();
  return nullptr;
}

}  // namespace cddp::device
