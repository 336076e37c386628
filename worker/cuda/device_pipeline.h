// The kernels of one bucket's compression behind an interface that knows neither CUDA nor absl: implemented for CUDA by
// cuda_device.cu, and by tests on the host.

#ifndef WORKER_CUDA_DEVICE_PIPELINE_H_
#define WORKER_CUDA_DEVICE_PIPELINE_H_

#include <cstdint>
#include <vector>

#include "worker/cuda/step_state.h"

namespace cddp::device {

struct PipelineOptions {
  uint32_t length = 0;  // of the bucket
  Wanted wanted;
  uint32_t most_selected = 0;         // forced + 2 k if wanted.any_near_k, else forced + k
  std::vector<uint32_t> forced_bits;  // one bit an element in whole tiles; empty: none
  uint32_t value_encoding = 0;        // ValueEncoding
  uint32_t code_bits = 0;             // of the block-scaled encodings; 0: the others
  uint32_t value_bytes = 0;           // of one value of the others
  uint32_t most_bytes = 0;            // of an update
};

// One step at a time: Pass, Send, Wait; and again Send(whole) and Wait if nothing was selected. A false return means a
// device error, which error() describes.
class DevicePipeline {
 public:
  virtual ~DevicePipeline() = default;

  // Queues: residual += input (device memory, `length` elements each), and the list of what reaches least_key.
  virtual bool Pass(const float* input, float* residual, uint32_t least_key, bool near_k) = 0;
  // Queues selection from that list, or from the whole residual, encoding, and the copy to the host.
  virtual bool Send(bool from_whole) = 0;
  // Waits for what was queued; after it, state() and bytes() are valid until the next step.
  virtual bool Wait() = 0;
  virtual const StepState& state() const = 0;
  virtual const uint8_t* bytes() const = 0;  // in pinned memory
  virtual const char* error() const = 0;

  // Device memory for arrays of the caller's; null without memory.
  virtual float* Allocate(uint32_t elements) = 0;
  virtual bool CopyToDevice(const float* from, uint32_t elements, float* to) = 0;
  virtual bool CopyFromDevice(const float* from, uint32_t elements, float* to) = 0;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_DEVICE_PIPELINE_H_
