// Memory of a GPU, or of the host pinned for it, freed with its owner. Plain CUDA runtime, for .cu files.

#ifndef WORKER_CUDA_DEVICE_BUFFER_H_
#define WORKER_CUDA_DEVICE_BUFFER_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <utility>

namespace cddp::device {

class DeviceBuffer {
 public:
  enum class Kind { kDevice, kPinnedHost };

  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept : kind_(other.kind_), memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~DeviceBuffer() {
    if (memory_ == nullptr) return;
    if (kind_ == Kind::kDevice) {
      cudaFree(memory_);
    } else {
      cudaFreeHost(memory_);
    }
  }

  // Once, on an empty buffer.
  cudaError_t Allocate(Kind kind, size_t bytes) {
    kind_ = kind;
    return kind == Kind::kDevice ? cudaMalloc(&memory_, bytes) : cudaMallocHost(&memory_, bytes);
  }

  void* get() const { return memory_; }

 private:
  Kind kind_ = Kind::kDevice;
  void* memory_ = nullptr;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_DEVICE_BUFFER_H_
