// The least that error feedback can cost on a GPU: one in-place pass over memory.

#ifndef TESTS_BENCH_GPU_PASS_H_
#define TESTS_BENCH_GPU_PASS_H_

#include <cstdint>

namespace cddp {

// residual += input, 12 bytes an element, and waits; device memory. False on a device error.
bool GpuPass(const float* input, float* residual, uint64_t length);

}  // namespace cddp

#endif  // TESTS_BENCH_GPU_PASS_H_
