#include <cuda_runtime_api.h>

#include <utility>

#include "worker/cuda/cuda_device.h"
#include "worker/cuda/kernel_steps.h"

namespace cddp::device {
namespace {

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kBlockThreads) RunKernel(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  kernel(CudaBlock<Kernel::kBlockThreads>(), shared);
}

// Sets a thread's current device for its lifetime. Restoring another device creates a context there.
class Current {
 public:
  explicit Current(int device) {
    cudaGetDevice(&before_);
    if (before_ != device) cudaSetDevice(device);
    changed_ = before_ != device;
  }
  ~Current() {
    if (changed_) cudaSetDevice(before_);
  }

 private:
  int before_ = 0;
  bool changed_;
};

class CudaDevice final : public DeviceQueue {
 public:
  CudaDevice(int device, cudaStream_t model) : device_(device), model_(model) {}
  ~CudaDevice() override {
    const Current current(device_);
    if (stream_ != nullptr) cudaStreamSynchronize(stream_);
    for (cudaEvent_t event : marks_) {
      if (event != nullptr) cudaEventDestroy(event);
    }
    if (order_ != nullptr) cudaEventDestroy(order_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  // The engine's stream has priority over the model's: updates sent early are answered early.
  bool Init() {
    const Current current(device_);
    int least = 0, greatest = 0;
    if (!Check(cudaDeviceGetStreamPriorityRange(&least, &greatest)) ||
        !Check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest)) ||
        !Check(cudaEventCreateWithFlags(&order_, cudaEventDisableTiming))) {
      return false;
    }
    for (int mark = 0; mark < kMarks; ++mark) {
      const bool spins = mark == static_cast<int>(Mark::kEncoded);
      const unsigned flags = cudaEventDisableTiming | (spins ? 0 : cudaEventBlockingSync);
      if (!Check(cudaEventCreateWithFlags(&marks_[mark], flags))) return false;
    }
    return true;
  }

  void AdoptThread() override { cudaSetDevice(device_); }

  bool Allocate(size_t bytes, void** memory) override {
    const Current current(device_);
    return Check(cudaMalloc(memory, bytes));
  }
  void Free(void* memory) override {
    const Current current(device_);
    cudaFree(memory);
  }
  AllocateHost allocate_host() const override {
    return [device = device_](size_t bytes) -> void* {
      const Current current(device);
      void* memory = nullptr;
      return cudaHostAlloc(&memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped) == cudaSuccess ? memory
                                                                                                       : nullptr;
    };
  }
  FreeHost free_host() const override {
    return [device = device_](void* memory) {
      const Current current(device);
      cudaFreeHost(memory);
    };
  }

  bool Zero(void* memory, size_t bytes) override {
    const Current current(device_);
    return Check(cudaMemsetAsync(memory, 0, bytes, stream_));
  }
  bool Copy(void* to, const void* from, size_t bytes) override {
    const Current current(device_);
    return Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_));
  }
  bool WaitFor(const void* ready) override {
    const Current current(device_);
    return Check(cudaStreamWaitEvent(stream_, *static_cast<const cudaEvent_t*>(ready), 0));
  }
  bool IsReady(const void* ready) const override {
    const Current current(device_);
    const cudaError_t state = cudaEventQuery(*static_cast<const cudaEvent_t*>(ready));
    if (state == cudaErrorNotReady) cudaGetLastError();  // otherwise the next launch would seem to have failed
    return state == cudaSuccess;
  }
  bool WaitForModel() override {
    const Current current(device_);
    return Check(cudaEventRecord(order_, model_)) && Check(cudaStreamWaitEvent(stream_, order_, 0));
  }
  bool SetMark(Mark mark) override {
    const Current current(device_);
    return Check(cudaEventRecord(marks_[static_cast<int>(mark)], stream_));
  }
  bool HoldStream(void* stream) override {
    const Current current(device_);
    return Check(cudaEventRecord(order_, stream_)) &&
           Check(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), order_, 0));
  }
  bool Await(Mark mark) override {
    const Current current(device_);
    return cudaEventSynchronize(marks_[static_cast<int>(mark)]) == cudaSuccess;
  }
  bool Synchronise() override {
    const Current current(device_);
    return Check(cudaStreamSynchronize(stream_));
  }
  const char* error() const override { return cudaGetErrorString(error_); }

  template <typename Kernel>
  bool Launch(const Kernel& kernel, uint32_t blocks, uint32_t slots) {
    const Current current(device_);
    RunKernel<<<dim3(blocks, slots), Kernel::kBlockThreads, 0, stream_>>>(kernel);
    return Check(cudaGetLastError());
  }

 private:
  bool Check(cudaError_t error) {
    if (error != cudaSuccess) error_ = error;
    return error == cudaSuccess;
  }

  const int device_;
  const cudaStream_t model_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t order_ = nullptr;  // recorded anew for each wait: a wait keeps what was recorded when it was made
  cudaEvent_t marks_[kMarks] = {};
  cudaError_t error_ = cudaSuccess;
};

}  // namespace

DeviceParts MakeCudaDevice(int device, void* model_stream, std::string* error) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || device >= count) {
    *error = status == cudaSuccess ? "no such device" : cudaGetErrorString(status);
    return {};
  }
  auto made = std::make_shared<CudaDevice>(device, static_cast<cudaStream_t>(model_stream));
  if (!made->Init()) {
    *error = made->error();
    return {};
  }
  auto kernels = std::make_shared<KernelSteps<CudaDevice>>(made.get());
  return {std::move(made), std::move(kernels)};
}

}  // namespace cddp::device
