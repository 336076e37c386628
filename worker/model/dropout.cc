#include "worker/model/dropout.h"

#include <ATen/ops/empty.h>

#include <array>

namespace cddp {
namespace {

// SplitMix64: a counter and a mixing function, so that the loop below has no chain of dependent steps.
uint64_t Mix(uint64_t counter) {
  counter = (counter ^ (counter >> 30)) * 0xbf58476d1ce4e5b9;
  counter = (counter ^ (counter >> 27)) * 0x94d049bb133111eb;
  return counter ^ (counter >> 31);
}

constexpr uint64_t kIncrement = 0x9e3779b97f4a7c15;

}  // namespace

torch::Tensor Dropout::Apply(const torch::Tensor& input, double probability) {
  const auto dropped = static_cast<uint64_t>(probability * 256);  // of the 256 values of a byte
  std::array<float, 256> factors;
  for (uint64_t byte = 0; byte < factors.size(); ++byte) {
    factors[byte] = byte < dropped ? 0.0f : static_cast<float>(1 / (1 - probability));
  }
  torch::Tensor mask = at::empty(input.sizes(), at::kFloat);
  float* out = mask.data_ptr<float>();
  const int64_t count = mask.numel();
  for (int64_t i = 0; i < count; i += 8) {
    const uint64_t bytes = Mix(state_ += kIncrement);
    for (int64_t j = 0; j < 8 && i + j < count; ++j) out[i + j] = factors[(bytes >> (8 * j)) & 0xff];
  }
  return input * mask;
}

}  // namespace cddp
