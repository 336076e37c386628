// The pass over a bucket (error compensation, finding of candidates) and the list of candidates made from it.

#ifndef WORKER_CUDA_COLLECT_KERNELS_H_
#define WORKER_CUDA_COLLECT_KERNELS_H_

#include <cstdint>

#include "worker/cuda/step_state.h"

namespace cddp::device {

inline constexpr uint32_t kTile = 4096;        // elements a block passes over
inline constexpr uint32_t kChunk = 8 * kTile;  // elements whose candidates are counted together

// Sets state->input_bad if the input is not finite. A block per tile; 4 bytes an element.
struct CheckInputKernel {
  const float* input;
  uint32_t length;
  StepState* state;

  struct Shared {};

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared&) const {
    const uint32_t begin = block.index() * kTile;
    block.Run([=, *this](uint32_t t) {
      uint32_t largest = 0;
      for (uint32_t j = 0; j < kTile / kThreads; ++j) {
        const uint32_t i = begin + j * kThreads + t;
        if (i < length) largest = Max(largest, BitsOf(input[i]) & kMagnitudeBits);
      }
      if (largest >= kInfinityBits) AtomicMax(&state->input_bad, 1);
    });
  }
};

// residual += input, saturating at the largest float; marks what reaches least_key in `hits` (one bit an element, whole
// tiles) and counts it by chunks. A block per tile; 12 bytes an element and 2 bits.
struct CompensateKernel {
  const float* input;
  float* residual;
  uint32_t length;
  uint32_t least_key;
  ForcedElements forced;
  uint32_t* hits;
  uint32_t* chunk_counts;
  StepState* state;

  struct Shared {
    uint32_t hits[kTile / 32];
    uint32_t count;
    float squares[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    if (state->input_bad != 0) return;
    const uint32_t begin = block.index() * kTile;
    block.Run([&shared](uint32_t t) {
      if (t < kTile / 32) shared.hits[t] = 0;
      if (t == 0) shared.count = 0;
    });
    block.Run([&shared, begin, *this](uint32_t t) { shared.squares[t] = PassThread(begin, t, shared.hits); });
    block.Run([&shared, begin, *this](uint32_t t) {
      if (t >= kTile / 32) return;
      hits[begin / 32 + t] = shared.hits[t];
      if (shared.hits[t] != 0) AtomicAdd(&shared.count, PopulationCount(shared.hits[t]));
    });
    SumOverThreads(block, shared.squares);
    block.Run([&shared, begin, *this](uint32_t t) {
      if (t != 0) return;
      if (shared.count > 0) AtomicAdd(&chunk_counts[begin / kChunk], shared.count);
      AtomicAdd(&state->sum_sq, static_cast<double>(shared.squares[0]));
    });
  }

 private:
  CDDP_HD float PassThread(uint32_t begin, uint32_t t, uint32_t* tile_hits) const {
    float squares = 0;
    for (uint32_t j = 0; j < kTile / kThreads; ++j) {
      const uint32_t i = begin + j * kThreads + t;
      if (i >= length) break;
      float value = residual[i] + input[i];
      const uint32_t bits = BitsOf(value);
      if ((bits & kMagnitudeBits) > kInfinityBits) AtomicMax(&state->residual_bad, 1);
      if ((bits & kMagnitudeBits) == kInfinityBits) value = FloatOf((bits & ~kMagnitudeBits) | kLargestFloatBits);
      residual[i] = value;
      squares += value * value;
      if (least_key != kNoCandidatesKey && forced.KeyOf(i, value) >= least_key) {
        AtomicOr(&tile_hits[(i - begin) / 32], 1u << (i - begin) % 32);
      }
    }
    return squares;
  }
};

// Lists the marked elements in index order. A block per chunk.
struct GatherKernel {
  const float* residual;
  uint32_t length;
  ForcedElements forced;
  Wanted wanted;
  const uint32_t* hits;
  const uint32_t* chunk_counts;
  uint32_t* indices;  // room for wanted.candidate_room; more are counted and dropped
  float* values;
  StepState* state;

  struct Shared {
    uint32_t before[kThreads];  // [0]: candidates of the chunks before
    ThreadScan<uint32_t> scan;
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    if (state->input_bad != 0) return;
    const uint32_t chunk = block.index();
    SumOf(block, chunk_counts, chunk, shared.before);
    constexpr uint32_t kWords = kChunk / 32 / kThreads;
    const uint32_t words = Blocks(length, kTile) * (kTile / 32);
    const uint32_t first_word = chunk * (kChunk / 32);
    block.Run([=, &shared, *this](uint32_t t) {
      uint32_t count = 0;
      for (uint32_t w = first_word + t * kWords; w < Min(words, first_word + (t + 1) * kWords); ++w) {
        count += PopulationCount(hits[w]);
      }
      shared.scan.terms[t] = count;
    });
    shared.scan.Exclusive(block);
    block.Run([=, &shared, *this](uint32_t t) {
      uint32_t to = shared.before[0] + shared.scan.terms[t];
      uint32_t largest_inverted = 0;
      for (uint32_t w = first_word + t * kWords; w < Min(words, first_word + (t + 1) * kWords); ++w) {
        for (uint32_t bits = hits[w]; bits != 0; bits &= bits - 1, ++to) {
          if (to >= wanted.candidate_room) continue;
          const uint32_t i = w * 32 + LowestBit(bits);
          indices[to] = i;
          values[to] = residual[i];
          if (!forced.Has(i)) largest_inverted = Max(largest_inverted, ~(BitsOf(values[to]) & kMagnitudeBits));
        }
      }
      if (largest_inverted != 0) AtomicMax(&state->largest_inverted, largest_inverted);
      if (t == 0 && chunk + 1 == block.count()) state->candidates = shared.before[0] + chunk_counts[chunk];
    });
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_COLLECT_KERNELS_H_
