// Exact selection of the elements to send, in index order, ties to the lowest index: from the candidates, or from the
// whole bucket when these did not do. A radix search of the threshold by digits of 11, 10 and 10 bits, then a count
// and a move of what lies above it.

#ifndef WORKER_CUDA_SELECT_KERNELS_H_
#define WORKER_CUDA_SELECT_KERNELS_H_

#include <cstdint>

#include "worker/cuda/collect_kernels.h"

namespace cddp::device {

inline constexpr uint32_t kDigits = 3;
inline constexpr uint32_t kMaxBins = 2048;
CDDP_HD inline uint32_t DigitShift(uint32_t digit) { return 20 - 10 * digit; }
CDDP_HD inline uint32_t DigitBins(uint32_t digit) { return digit == 0 ? 2048 : 1024; }

// What is selected from. `indices` is null for the whole bucket.
struct Source {
  const uint32_t* indices;
  const float* values;
  uint32_t length;  // of the bucket
  ForcedElements forced;
  Wanted wanted;

  CDDP_HD uint32_t IndexAt(uint32_t i) const { return indices == nullptr ? i : indices[i]; }
  CDDP_HD uint32_t KeyAt(uint32_t i) const { return forced.KeyOf(IndexAt(i), values[i]); }
  // Elements to select from; 0 if a selection from them is impossible.
  CDDP_HD uint32_t Size(const StepState& state) const {
    if (state.input_bad != 0 || state.residual_bad != 0) return 0;
    if (indices == nullptr) return length;
    if (state.candidates > wanted.candidate_room) return 0;
    return state.candidates >= wanted.total() || wanted.TakesAll(state.candidates) ? state.candidates : 0;
  }
  CDDP_HD bool TakesAll(const StepState& state) const {
    return indices != nullptr && wanted.TakesAll(state.candidates);
  }
};

// A search that has fixed some digits: `rank` elements are still wanted of those with this prefix.
struct Digits {
  uint32_t prefix;
  uint32_t rank;
};

// The next digit of the rank-th largest key, from the histogram of those that have the prefix. Thread t looks after
// the bins that come after t * bins / kThreads larger ones.
template <typename Block>
CDDP_HD void FixDigit(const Block& block, const uint32_t* histogram, uint32_t digit, ThreadScan<uint32_t>& scan,
                      Digits* digits) {
  const uint32_t bins = DigitBins(digit), each = bins / kThreads;
  block.Run([=, &scan](uint32_t t) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < each; ++b) count += histogram[bins - 1 - (t * each + b)];
    scan.terms[t] = count;
  });
  scan.Exclusive(block);
  // All threads read the rank before the one that finds the digit writes it.
  block.Run([=, &scan](uint32_t t) { scan.other[t] = digits->rank; });
  block.Run([=, &scan](uint32_t t) {
    uint32_t above = scan.terms[t];
    const uint32_t rank = scan.other[t];
    for (uint32_t b = 0; b < each && above < rank; ++b) {
      const uint32_t bin = bins - 1 - (t * each + b);
      if (above + histogram[bin] >= rank) {
        digits->prefix |= bin << DigitShift(digit);
        digits->rank = rank - above;
        return;
      }
      above += histogram[bin];
    }
  });
}

template <typename Block>
CDDP_HD void FixDigits(const Block& block, const uint32_t* histograms, uint32_t count, uint32_t rank,
                       ThreadScan<uint32_t>& scan, Digits* digits) {
  block.Run([=](uint32_t t) {
    if (t == 0) *digits = {0, rank};
  });
  for (uint32_t digit = 0; digit < count; ++digit) {
    FixDigit(block, histograms + size_t{digit} * kMaxBins, digit, scan, digits);
  }
}

// Histogram of one digit of the keys whose digits before are the threshold's. Any number of blocks.
struct HistogramKernel {
  Source source;
  uint32_t digit;
  uint32_t* histograms;  // kDigits of kMaxBins
  const StepState* state;

  struct Shared {
    uint32_t bins[kMaxBins];
    ThreadScan<uint32_t> scan;
    Digits digits;
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const uint32_t size = source.Size(*state);
    if (size == 0 || source.TakesAll(*state)) return;
    FixDigits(block, histograms, digit, source.wanted.total(), shared.scan, &shared.digits);
    block.Run([&shared](uint32_t t) {
      for (uint32_t b = t; b < kMaxBins; b += kThreads) shared.bins[b] = 0;
    });
    const uint32_t stride = block.count() * kThreads, first = block.index() * kThreads;
    block.Run([=, &shared, *this](uint32_t t) {
      const uint32_t shift = DigitShift(digit), bins = DigitBins(digit);
      for (uint64_t i = first + t; i < size; i += stride) {
        const uint32_t key = source.KeyAt(static_cast<uint32_t>(i));
        const uint32_t known = digit == 0 ? 0 : key >> (shift + 10) << (shift + 10);
        if (known == shared.digits.prefix) AtomicAdd(&shared.bins[key >> shift & (bins - 1)], 1u);
      }
    });
    block.Run([=, &shared, *this](uint32_t t) {
      for (uint32_t b = t; b < kMaxBins; b += kThreads) {
        if (shared.bins[b] != 0) AtomicAdd(&histograms[digit * kMaxBins + b], shared.bins[b]);
      }
    });
  }
};

// Counts, for each tile of the source, the keys above the threshold and those equal to it, for MoveKernel.
struct CountKernel {
  Source source;
  const uint32_t* histograms;
  uint64_t* tile_counts;  // above << 32 | equal
  uint32_t* ties;         // how many of those equal to the threshold are selected
  StepState* state;

  struct Shared {
    ThreadScan<uint32_t> scan;
    Digits digits;
    uint64_t counts[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const uint32_t size = source.Size(*state);
    const uint32_t begin = block.index() * kTile;
    if (begin >= size) return;
    const bool all = source.TakesAll(*state);
    if (!all) FixDigits(block, histograms, kDigits, source.wanted.total(), shared.scan, &shared.digits);
    block.Run([=, &shared, *this](uint32_t t) {
      uint64_t count = 0;
      for (uint32_t i = begin + t; i < Min(size, begin + kTile); i += kThreads) {
        const uint32_t key = source.KeyAt(i);
        if (all || key > shared.digits.prefix) {
          count += uint64_t{1} << 32;
        } else if (key == shared.digits.prefix) {
          ++count;
        }
      }
      shared.counts[t] = count;
      if (t == 0 && begin == 0) {
        *ties = all ? 0 : shared.digits.rank;
        state->selected = all ? size : source.wanted.total();
        const uint32_t least = ~state->largest_inverted;
        state->threshold_key = source.wanted.k == 0 ? 0 : all ? least : shared.digits.prefix;
      }
    });
    SumOverThreads(block, shared.counts);
    block.Run([&shared, block_index = block.index(), *this](uint32_t t) {
      if (t == 0) tile_counts[block_index] = shared.counts[0];
    });
  }
};

// Moves what is selected to lists in index order. A block per tile of the source.
struct MoveKernel {
  Source source;
  const uint64_t* tile_counts;
  const uint32_t* ties;
  uint32_t* indices;
  float* values;
  const StepState* state;

  struct Shared {
    uint64_t before[kThreads];
    ThreadScan<uint64_t> scan;
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const uint32_t size = source.Size(*state);
    const uint32_t begin = block.index() * kTile;
    if (begin >= size) return;
    const bool all = source.TakesAll(*state);
    const uint32_t threshold = state->threshold_key;
    SumOf(block, tile_counts, block.index(), shared.before);
    constexpr uint32_t kEach = kTile / kThreads;
    block.Run([=, &shared, *this](uint32_t t) {
      uint64_t count = 0;
      for (uint32_t i = begin + t * kEach; i < Min(size, begin + (t + 1) * kEach); ++i) {
        count += Weight(source.KeyAt(i), threshold, all);
      }
      shared.scan.terms[t] = count;
    });
    shared.scan.Exclusive(block);
    block.Run([=, &shared, *this](uint32_t t) {
      uint64_t before = shared.before[0] + shared.scan.terms[t];
      for (uint32_t i = begin + t * kEach; i < Min(size, begin + (t + 1) * kEach); ++i) {
        const uint64_t weight = Weight(source.KeyAt(i), threshold, all);
        const auto equal_before = static_cast<uint32_t>(before);
        if (weight > 1 || (weight == 1 && equal_before < *ties)) {
          const uint32_t to = static_cast<uint32_t>(before >> 32) + Min(equal_before, *ties);
          indices[to] = source.IndexAt(i);
          values[to] = source.values[i];
        }
        before += weight;
      }
    });
  }

 private:
  CDDP_HD static uint64_t Weight(uint32_t key, uint32_t threshold, bool all) {
    if (all || key > threshold) return uint64_t{1} << 32;
    return key == threshold ? 1 : 0;
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_SELECT_KERNELS_H_
