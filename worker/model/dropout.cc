#include "worker/model/dropout.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/bitwise_and.h>
#include <ATen/ops/bitwise_right_shift.h>
#include <ATen/ops/bitwise_xor.h>
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

// counter ^ (counter >> bits), as for unsigned numbers.
at::Tensor MixRight(const at::Tensor& counter, int64_t bits) {
  const int64_t kept = (int64_t{1} << (64 - bits)) - 1;
  return counter.bitwise_xor(at::bitwise_right_shift(counter, bits).bitwise_and_(kept));
}

// Mix of every element. LibTorch has only signed numbers, whose products have the same bits.
at::Tensor Mix(const at::Tensor& counters) {
  const at::Tensor once = MixRight(counters, 30).mul_(static_cast<int64_t>(0xbf58476d1ce4e5b9));
  return MixRight(MixRight(once, 27).mul_(static_cast<int64_t>(0x94d049bb133111eb)), 31);
}

// The number of a byte's 256 values that mean zero.
uint64_t DroppedBytes(double probability) { return static_cast<uint64_t>(probability * 256); }

float KeptFactor(double probability) { return static_cast<float>(1 / (1 - probability)); }

}  // namespace

torch::Tensor HostDropoutMask(uint64_t* state, c10::IntArrayRef sizes, double probability) {
  const uint64_t dropped = DroppedBytes(probability);
  std::array<float, 256> factors;
  for (uint64_t byte = 0; byte < factors.size(); ++byte) factors[byte] = byte < dropped ? 0 : KeptFactor(probability);
  torch::Tensor mask = at::empty(sizes, at::kFloat);
  float* out = mask.data_ptr<float>();
  const int64_t count = mask.numel();
  for (int64_t i = 0; i < count; i += 8) {
    const uint64_t bytes = Mix(*state += kIncrement);
    for (int64_t j = 0; j < 8 && i + j < count; ++j) out[i + j] = factors[(bytes >> (8 * j)) & 0xff];
  }
  return mask;
}

torch::Tensor DeviceDropoutMask(uint64_t* state, c10::IntArrayRef sizes, double probability, c10::Device device) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  const int64_t numbers = (count + 7) / 8;
  const at::Tensor counters = at::arange(1, numbers + 1, at::TensorOptions(at::kLong).device(device))
                                  .mul_(static_cast<int64_t>(kIncrement))
                                  .add_(static_cast<int64_t>(*state));
  *state += static_cast<uint64_t>(numbers) * kIncrement;
  const at::Tensor bytes = Mix(counters).view(at::kByte).narrow(0, 0, count);  // the lowest of a number first
  return bytes.ge(static_cast<int64_t>(DroppedBytes(probability)))
      .to(at::kFloat)
      .mul_(KeptFactor(probability))
      .view(sizes);
}

torch::Tensor Dropout::Apply(const torch::Tensor& input, double probability) {
  if (input.is_cpu()) return input * HostDropoutMask(&state_, input.sizes(), probability);
  return input * DeviceDropoutMask(&state_, input.sizes(), probability, input.device());
}

}  // namespace cddp
