#include <cuda_runtime_api.h>

#include "tests/bench/gpu_pass.h"

namespace cddp {
namespace {

constexpr uint32_t kThreads = 256;
constexpr uint32_t kEach = 4;

__global__ void Pass(const float* __restrict__ input, float* __restrict__ residual, uint64_t length) {
  const uint64_t begin = uint64_t{blockIdx.x} * kThreads * kEach + threadIdx.x;
#pragma unroll
  for (uint32_t j = 0; j < kEach; ++j) {
    const uint64_t i = begin + j * kThreads;
    if (i < length) residual[i] += input[i];
  }
}

}  // namespace

bool GpuPass(const float* input, float* residual, uint64_t length) {
  const auto blocks = static_cast<uint32_t>((length + kThreads * kEach - 1) / (kThreads * kEach));
  Pass<<<blocks, kThreads>>>(input, residual, length);
  return cudaGetLastError() == cudaSuccess && cudaDeviceSynchronize() == cudaSuccess;
}

}  // namespace cddp
