// Finds a threshold when none is carried over: an estimate from a sample, before the pass, and an exact search over the
// whole bucket, if the candidates did not suffice.

#ifndef WORKER_CUDA_SEARCH_KERNELS_H_
#define WORKER_CUDA_SEARCH_KERNELS_H_

#include <cmath>
#include <cstdint>

#include "worker/cuda/collect_kernels.h"

namespace cddp::device {

// A key that about k elements, and most likely at least k, will reach after the pass: EstimateLeastKey of
// common/compress/threshold_search.h, from some 16k elements, minus four standard deviations. Only for slots that
// request it; one block per slot.
struct EstimateKernel {
  static constexpr uint32_t kBlockThreads = 1024;
  static constexpr uint32_t kLine = 16;   // neighbours sampled together
  static constexpr uint32_t kShift = 18;  // bins of an octave / 32
  static constexpr uint32_t kBins = kMagnitudeBits / (1u << kShift) + 1;

  Batch batch;
  Arrays arrays;
  StepInput input;

  struct Shared {
    uint32_t bins[kBins];
    uint32_t counts[kBlockThreads];
    uint32_t scratch[kBlockThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    if (batch.least_keys[block.slot()] != kEstimateKey) return;
    const Slot slot(batch, arrays, block.slot());
    const Pieces pieces(input, arrays, slot);
    const uint32_t length = slot.plan.length;
    const uint32_t lines = Max(1u, Min(kBlockThreads, length / kLine)), stride = length / lines;
    const uint32_t each = Min(stride, kLine), samples = lines * each;
    block.Run([&](uint32_t t) {
      for (uint32_t b = t; b < kBins; b += kBlockThreads) shared.bins[b] = 0;
    });
    block.Run([&](uint32_t t) {
      if (t >= lines) return;
      const uint32_t begin = t * stride + ((t + 1) * 2654435761u >> 8) % (stride - each + 1);
      for (uint32_t i = begin; i < begin + each; ++i) {
        float velocity = pieces.velocity == nullptr ? 0 : pieces.velocity[i];
        const float value = pieces.Compensate(input, pieces.gradient[i], pieces.residual[i], &velocity);
        AtomicAdd(&shared.bins[(BitsOf(value) & kMagnitudeBits) >> kShift], 1u);
      }
    });
    const double expected = static_cast<double>(slot.plan.wanted.k) * samples / length;
    const auto rank = static_cast<uint32_t>(expected + 4 * sqrt(expected) + 4);
    if (rank >= samples) return;  // the least key stays 0
    FindBin(block, shared.bins, kBins, kBins / kBlockThreads, rank, shared.counts, shared.scratch,
            [&](uint32_t bin, uint32_t) { slot.state->estimated_key = bin << kShift; });
  }
};

inline constexpr uint32_t kDigits = 3;
inline constexpr uint32_t kMaxBins = 2048;
CDDP_HD inline uint32_t DigitShift(uint32_t digit) { return 20 - 10 * digit; }
CDDP_HD inline uint32_t DigitBins(uint32_t digit) { return digit == 0 ? 2048 : 1024; }

// A search over the whole bucket that has fixed some digits: `rank` elements are still wanted of those with this
// prefix.
struct Digits {
  uint32_t prefix;
  uint32_t rank;
};

struct DigitSearch {
  uint32_t counts[kThreads];
  uint32_t scratch[kThreads];
  Digits digits;

  // Fixes the first `count` digits of the rank-th largest key from their histograms.
  template <typename Block>
  CDDP_HD void Fix(const Block& block, const uint32_t* histograms, uint32_t count, uint32_t rank) {
    block.Run([&](uint32_t t) {
      if (t == 0) digits = {0, rank};
    });
    for (uint32_t digit = 0; digit < count; ++digit) FixOne(block, histograms + size_t{digit} * kMaxBins, digit);
  }

 private:
  template <typename Block>
  CDDP_HD void FixOne(const Block& block, const uint32_t* histogram, uint32_t digit) {
    const uint32_t bins = DigitBins(digit), rank = digits.rank;
    FindBin(block, histogram, bins, bins / kThreads, rank, counts, scratch, [&](uint32_t bin, uint32_t above) {
      digits.prefix |= bin << DigitShift(digit);
      digits.rank = rank - above;
    });
  }
};

// Histogram of one digit of the keys of all elements whose earlier digits are the threshold's. Any number of blocks.
struct HistogramKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;
  uint32_t digit;

  struct Shared {
    uint32_t bins[kMaxBins];
    DigitSearch search;
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    uint32_t* const histograms = arrays.histograms + uint64_t{block.slot()} * kDigits * kMaxBins;
    shared.search.Fix(block, histograms, digit, slot.plan.wanted.total());
    block.Run([&](uint32_t t) {
      for (uint32_t b = t; b < kMaxBins; b += kThreads) shared.bins[b] = 0;
    });
    block.Run([&](uint32_t t) {
      const float* const values = slot.NewResidual(arrays);
      const uint32_t shift = DigitShift(digit), bins = DigitBins(digit), stride = block.count() * kThreads;
      for (uint64_t i = block.index() * kThreads + t; i < slot.plan.length; i += stride) {
        const uint32_t key = slot.plan.KeyOf(static_cast<uint32_t>(i), values[i]);
        const uint32_t known = digit == 0 ? 0 : key >> (shift + 10) << (shift + 10);
        if (known == shared.search.digits.prefix) AtomicAdd(&shared.bins[key >> shift & (bins - 1)], 1u);
      }
    });
    block.Run([&](uint32_t t) {
      for (uint32_t b = t; b < kMaxBins; b += kThreads) {
        if (shared.bins[b] != 0) AtomicAdd(&histograms[digit * kMaxBins + b], shared.bins[b]);
      }
    });
  }
};

// Finds from the three histograms what FindKernel finds among candidates. One block per slot.
struct ThresholdKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;

  struct Shared {
    DigitSearch search;
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const Wanted& wanted = slot.plan.wanted;
    shared.search.Fix(block, arrays.histograms + uint64_t{block.slot()} * kDigits * kMaxBins, kDigits, wanted.total());
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      slot.state->selected = wanted.total();
      slot.state->threshold_key = shared.search.digits.prefix;
      slot.state->ties = shared.search.digits.rank;
    });
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_SEARCH_KERNELS_H_
