// The pass over a bucket (error compensation, finding of candidates) and the list of candidates made from it.

#ifndef WORKER_CUDA_COLLECT_KERNELS_H_
#define WORKER_CUDA_COLLECT_KERNELS_H_

#include <cstdint>

#include "worker/cuda/bucket_batch.h"

namespace cddp::device {

// The input that is added to the residual: GradientCompressor::Compress (worker/buckets).
struct StepInput {
  const float* gradients = nullptr;
  const float* loss = nullptr;   // null: not checked
  const float* scale = nullptr;  // factor of the gradient; null: 1
  float decay = 1;               // factor of the residual, applied first
  float momentum = 0;            // with momentum correction
};

CDDP_HD inline float Saturated(float value) {
  const uint32_t bits = BitsOf(value);
  return (bits & kMagnitudeBits) == kInfinityBits ? FloatOf((bits & ~kMagnitudeBits) | kLargestFloatBits) : value;
}

// A bucket's part of the arrays that a step reads and writes.
struct Pieces {
  const float* gradient;
  const float* residual;
  const float* velocity;  // null without momentum correction
  float* new_residual;
  float* new_velocity;
  float scale;

  CDDP_HD Pieces(const StepInput& input, const Arrays& arrays, const Slot& slot)
      : gradient(input.gradients + slot.plan.begin),
        residual(slot.OldResidual(arrays)),
        velocity(nullptr),
        new_residual(slot.NewResidual(arrays)),
        new_velocity(nullptr),
        scale(input.scale == nullptr ? 1.0f : *input.scale) {
    if (arrays.velocities[0] == nullptr) return;
    velocity = arrays.velocities[slot.second ? 1 : 0] + slot.plan.begin;
    new_velocity = arrays.velocities[slot.second ? 0 : 1] + slot.plan.begin;
  }

  // The new residual of one element, which may be infinite. Replaces the element's *velocity_of by the new velocity.
  CDDP_HD float Compensate(const StepInput& input, float gradient, float residual, float* velocity_of) const {
    float added = gradient * scale;
    if (velocity != nullptr) added = *velocity_of = Saturated(input.momentum * *velocity_of + added);
    return residual * input.decay + added;
  }
};

// New residual = old residual + input, saturating at the largest float; marks elements that reach the least key in
// `hits` and counts them by tile. A block per tile; 12 bytes and 1 bit per element, 20 with momentum correction. The
// old residual stays unchanged, and is used again if the input turns out not to be finite.
struct PassKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;
  StepInput input;

  struct Shared {
    uint32_t hits[kTile / 32];
    uint32_t counts[kThreads];
    float squares[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const uint32_t begin = block.index() * kTile;
    if (begin >= slot.plan.length) return;
    const Pieces pieces(input, arrays, slot);
    block.Run([&](uint32_t t) {
      if (t < kTile / 32) shared.hits[t] = 0;
    });
    block.Run([&](uint32_t t) {
      shared.squares[t] = PassThread(slot, pieces, begin, t, shared.hits);
      if (begin == 0 && t == 0 && input.loss != nullptr) NoteBad(IsBadNumber(*input.loss), &slot.state->input_bad);
    });
    const uint32_t tile = slot.plan.first_tile + block.index();
    block.Run([&](uint32_t t) {
      shared.counts[t] = 0;
      if (t >= kTile / 32) return;
      arrays.hits[uint64_t{tile} * (kTile / 32) + t] = shared.hits[t];
      shared.counts[t] = PopulationCount(shared.hits[t]);
    });
    block.Sum(shared.counts);
    block.Sum(shared.squares);
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      arrays.tile_hits[tile] = shared.counts[0];
      AtomicAdd(&slot.state->sum_sq, static_cast<double>(shared.squares[0]));
    });
  }

 private:
  // Four neighbours: one access to memory.
  static constexpr uint32_t kQuad = 4;
  static constexpr uint32_t kQuads = kTile / kThreads / kQuad;  // of a thread
  struct alignas(16) Quad {
    float at[kQuad];
  };

  CDDP_HD static bool IsBadNumber(float value) { return (BitsOf(value) & kMagnitudeBits) >= kInfinityBits; }
  CDDP_HD static void NoteBad(bool bad, uint32_t* flag) {
    if (bad) AtomicMax(flag, 1);
  }

  // All of a thread's memory accesses are under way before the first is used.
  CDDP_HD float PassThread(const Slot& slot, const Pieces& pieces, uint32_t begin, uint32_t t,
                           uint32_t* tile_hits) const {
    Quad gradient[kQuads], residual[kQuads], velocity[kQuads];
    const uintptr_t address =
        reinterpret_cast<uintptr_t>(pieces.gradient) | reinterpret_cast<uintptr_t>(pieces.residual);
    const bool whole = address % sizeof(Quad) == 0 && begin + kTile <= slot.plan.length;
    for (uint32_t j = 0; j < kQuads; ++j) {
      const uint32_t i = begin + (j * kThreads + t) * kQuad;
      if (whole) {
        gradient[j] = *reinterpret_cast<const Quad*>(pieces.gradient + i);
        residual[j] = *reinterpret_cast<const Quad*>(pieces.residual + i);
        if (pieces.velocity != nullptr) velocity[j] = *reinterpret_cast<const Quad*>(pieces.velocity + i);
      } else {
        LoadEach(pieces, i, slot.plan.length, &gradient[j], &residual[j], &velocity[j]);
      }
    }
    bool input_bad = false, residual_bad = false, saturated = false;
    float squares = 0;
    for (uint32_t j = 0; j < kQuads; ++j) {
      const uint32_t i = begin + (j * kThreads + t) * kQuad;
      uint32_t hits = 0;
      for (uint32_t q = 0; q < kQuad; ++q) {
        if (!whole && i + q >= slot.plan.length) break;
        input_bad |= IsBadNumber(gradient[j].at[q]);
        const float sum = pieces.Compensate(input, gradient[j].at[q], residual[j].at[q], &velocity[j].at[q]);
        residual_bad |= (BitsOf(sum) & kMagnitudeBits) > kInfinityBits;
        saturated |= (BitsOf(sum) & kMagnitudeBits) == kInfinityBits;
        const float value = Saturated(sum);
        residual[j].at[q] = value;
        squares += value * value;
        if (slot.plan.KeyOf(i + q, value) >= slot.least_key) hits |= 1u << q;
      }
      if (hits != 0) AtomicOr(&tile_hits[(i - begin) / 32], hits << (i - begin) % 32);
      if (whole) {
        *reinterpret_cast<Quad*>(pieces.new_residual + i) = residual[j];
        if (pieces.velocity != nullptr) *reinterpret_cast<Quad*>(pieces.new_velocity + i) = velocity[j];
      } else {
        StoreEach(pieces, i, slot.plan.length, residual[j], velocity[j]);
      }
    }
    NoteBad(input_bad, &slot.state->input_bad);
    NoteBad(residual_bad && !input_bad, &slot.state->residual_bad);
    NoteBad(saturated, &slot.state->saturated);
    return squares;
  }

  CDDP_HD static void LoadEach(const Pieces& pieces, uint32_t i, uint32_t length, Quad* gradient, Quad* residual,
                               Quad* velocity) {
    for (uint32_t q = 0; q < kQuad && i + q < length; ++q) {
      gradient->at[q] = pieces.gradient[i + q];
      residual->at[q] = pieces.residual[i + q];
      if (pieces.velocity != nullptr) velocity->at[q] = pieces.velocity[i + q];
    }
  }
  CDDP_HD static void StoreEach(const Pieces& pieces, uint32_t i, uint32_t length, const Quad& residual,
                                const Quad& velocity) {
    for (uint32_t q = 0; q < kQuad && i + q < length; ++q) {
      pieces.new_residual[i + q] = residual.at[q];
      if (pieces.velocity != nullptr) pieces.new_velocity[i + q] = velocity.at[q];
    }
  }
};

// Lists the marked elements in index order. A block per kChunk elements.
struct GatherKernel {
  static constexpr uint32_t kBlockThreads = kThreads;
  static constexpr uint32_t kChunk = 32 * kThreads;  // a word of hits per thread

  Batch batch;
  Arrays arrays;

  struct Shared {
    uint32_t before[kThreads];  // [0]: candidates of the tiles before
    uint32_t counts[kThreads];
    uint32_t scratch[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const uint32_t begin = block.index() * kChunk;
    if (begin >= slot.plan.length || slot.IsBad()) return;
    const uint32_t tiles_before = begin / kTile, tiles = Blocks(slot.plan.length, kTile);
    const uint32_t words = tiles * (kTile / 32);
    const uint32_t* const hits = arrays.hits + uint64_t{slot.plan.first_tile} * (kTile / 32);
    SumOf(block, arrays.tile_hits + slot.plan.first_tile, tiles_before, shared.before);
    block.Run([&](uint32_t t) {
      const uint32_t word = begin / 32 + t;
      shared.counts[t] = word < words ? PopulationCount(hits[word]) : 0;
    });
    block.Scan(shared.counts, shared.scratch);
    block.Run([&](uint32_t t) {
      const uint32_t word = begin / 32 + t;
      if (word < words) List(slot, word, hits[word], shared.before[0] + shared.counts[t]);
      if (t == kThreads - 1 && begin + kChunk >= slot.plan.length) {
        slot.state->candidates = shared.before[0] + shared.counts[t] + (word < words ? PopulationCount(hits[word]) : 0);
      }
    });
  }

 private:
  static constexpr uint32_t kAhead = 4;

  // Lists the candidates of one word from position `to` on; those beyond the room are counted and dropped.
  CDDP_HD void List(const Slot& slot, uint32_t word, uint32_t bits, uint32_t to) const {
    const float* const residual = slot.NewResidual(arrays) + size_t{word} * 32;
    uint32_t largest_inverted = 0;
    for (uint32_t count = PopulationCount(bits), done = 0; done < count; done += kAhead) {
      // All loads are under way before the first store, which would keep them in order.
      uint32_t at[kAhead];
      float values[kAhead];
      for (uint32_t j = 0; j < kAhead; ++j) {
        at[j] = bits == 0 ? 0 : LowestBit(bits);
        bits &= bits - 1;
        values[j] = done + j < count ? residual[at[j]] : 0;
      }
      for (uint32_t j = 0; j < kAhead && done + j < count; ++j, ++to) {
        if (to >= slot.plan.wanted.candidate_room) continue;
        const uint32_t i = word * 32 + at[j];
        arrays.candidate_indices[slot.plan.candidates_at + to] = i;
        arrays.candidate_values[slot.plan.candidates_at + to] = values[j];
        if (!slot.plan.IsForced(i)) largest_inverted = Max(largest_inverted, ~(BitsOf(values[j]) & kMagnitudeBits));
      }
    }
    if (slot.near && largest_inverted != 0) AtomicMax(&slot.state->largest_inverted, largest_inverted);
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_COLLECT_KERNELS_H_
