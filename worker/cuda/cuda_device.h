// The host compiler's interface to the file that nvcc compiles. No absl and no CUDA here, so that each compiler sees
// only its own headers.

#ifndef WORKER_CUDA_CUDA_DEVICE_H_
#define WORKER_CUDA_CUDA_DEVICE_H_

#include <memory>
#include <string>

#include "worker/cuda/device_queue.h"
#include "worker/cuda/kernels.h"

namespace cddp::device {

// The two interfaces of one device object.
struct DeviceParts {
  std::shared_ptr<DeviceQueue> queue;
  std::shared_ptr<Kernels> kernels;
};

// `model_stream` is a cudaStream_t. On failure the queue is null and *error has the reason.
DeviceParts MakeCudaDevice(int device, void* model_stream, std::string* error);

}  // namespace cddp::device

#endif  // WORKER_CUDA_CUDA_DEVICE_H_
