// LibTorch's way to do what a BucketCompressor does, as a peer to measure against. Its own file, since LibTorch's
// headers take long to compile.

#ifndef TESTS_BENCH_LIBTORCH_TOP_K_H_
#define TESTS_BENCH_LIBTORCH_TOP_K_H_

#include <cstddef>
#include <cstdint>

namespace cddp {

// Threads of the next calls' own loops.
void SetLibTorchThreads(int threads);

// residual += gradient, abs, topk (unsorted), gather, zero what was selected. Returns a checksum of the values.
double LibTorchTopK(const float* gradient, float* residual, size_t length, size_t k);

}  // namespace cddp

#endif  // TESTS_BENCH_LIBTORCH_TOP_K_H_
