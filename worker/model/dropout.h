// Dropout with its own random stream of cheap random bytes.
//
// LibTorch draws a Mersenne Twister number for each element, which takes a tenth of a training step of simple_cnn, and
// from a generator that is shared by the whole process.

#ifndef WORKER_MODEL_DROPOUT_H_
#define WORKER_MODEL_DROPOUT_H_

#include <torch/types.h>

#include <cstdint>

namespace cddp {

// Not thread-safe.
class Dropout {
 public:
  explicit Dropout(uint64_t seed) : state_(seed) {}

  // Each element of `input` (float32) is zero with `probability`, a multiple of 1/256 below 1, and otherwise scaled by
  // 1 / (1 - probability). Differentiable; advances the stream. Which elements are zero does not depend on the device.
  torch::Tensor Apply(const torch::Tensor& input, double probability);

  // The stream's state.
  uint64_t state() const { return state_; }
  void set_state(uint64_t state) { state_ = state; }

 private:
  uint64_t state_;
};

// The factors that Apply uses for an input of these sizes; advances the stream *state. The first is a loop on the host,
// the second uses LibTorch's operations on `device`, with the same bits.
torch::Tensor HostDropoutMask(uint64_t* state, c10::IntArrayRef sizes, double probability);
torch::Tensor DeviceDropoutMask(uint64_t* state, c10::IntArrayRef sizes, double probability, c10::Device device);

}  // namespace cddp

#endif  // WORKER_MODEL_DROPOUT_H_
