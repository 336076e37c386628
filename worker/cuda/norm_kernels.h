// The norm of the whole gradient, and the factor of clipping: SumOfSquares and ClipScale of
// common/compress/momentum_correction.h, with the same bits.

#ifndef WORKER_CUDA_NORM_KERNELS_H_
#define WORKER_CUDA_NORM_KERNELS_H_

#include <cmath>
#include <cstdint>

#include "worker/cuda/bucket_batch.h"

namespace cddp::device {

// The sum of squares of each tile. A block per tile.
struct SquaresKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  const float* values;
  uint64_t size;
  double* tile_sums;

  struct Shared {
    double sums[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const uint64_t begin = uint64_t{block.index()} * kTile;
    block.Run([&](uint32_t t) {
      double sum = 0;
      for (uint32_t j = 0; j < kTile / kThreads; ++j) {
        const uint64_t i = begin + j * kThreads + t;
        const double value = i < size ? static_cast<double>(values[i]) : 0;
        sum += value * value;
      }
      shared.sums[t] = sum;
    });
    SumByHalving(block, shared.sums);
    block.Run([&](uint32_t t) {
      if (t == 0) tile_sums[block.index()] = shared.sums[0];
    });
  }
};

// One block.
struct ClipKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  const double* tile_sums;
  uint32_t tiles;
  double limit;  // of the norm of one worker's gradient
  float* scale;

  struct Shared {
    double sums[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    block.Run([&](uint32_t t) {
      double sum = 0;
      for (uint32_t i = t; i < tiles; i += kThreads) sum += tile_sums[i];
      shared.sums[t] = sum;
    });
    SumByHalving(block, shared.sums);
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      const double norm = sqrt(shared.sums[0]);
      // A gradient that is not finite is refused regardless of its scale.
      *scale = norm > limit && norm <= kLargestNorm ? static_cast<float>(limit / norm) : 1.0f;
    });
  }

 private:
  static constexpr double kLargestNorm = 1.7976931348623157e308;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_NORM_KERNELS_H_
