// Dropout with a random stream of its own, from cheap random bytes.
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

  // Where the stream stands.
  uint64_t state() const { return state_; }
  void set_state(uint64_t state) { state_ = state; }

 private:
  uint64_t state_;
};

// What Apply multiplies an input of these sizes by; advances the stream that stands at *state. The first is a loop of
// the host's, the second made of LibTorch's operations on `device`: to the same bits.
torch::Tensor HostDropoutMask(uint64_t* state, c10::IntArrayRef sizes, double probability);
torch::Tensor DeviceDropoutMask(uint64_t* state, c10::IntArrayRef sizes, double probability, c10::Device device);

}  // namespace cddp

#endif  // WORKER_MODEL_DROPOUT_H_
