// A Device in LibTorch's words.

#ifndef WORKER_MODEL_TORCH_DEVICE_H_
#define WORKER_MODEL_TORCH_DEVICE_H_

#include <c10/core/Device.h>

#include "worker/model/device.h"

namespace cddp {

inline c10::Device TorchDevice(const Device& device) {
  return device.is_gpu ? c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device.gpu)) : c10::Device(c10::kCPU);
}

}  // namespace cddp

#endif  // WORKER_MODEL_TORCH_DEVICE_H_
