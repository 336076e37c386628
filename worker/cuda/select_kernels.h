// Exact selection of the elements to send, in index order, ties to the lowest index: from the candidates, or from the
// whole bucket if these did not suffice (then search_kernels.h finds the threshold). Counts the elements above the
// threshold, then moves them.

#ifndef WORKER_CUDA_SELECT_KERNELS_H_
#define WORKER_CUDA_SELECT_KERNELS_H_

#include <cstdint>

#include "worker/cuda/bucket_batch.h"

namespace cddp::device {

// The source of a selection: the bucket's candidates, or all its elements.
struct Source {
  const BucketPlan& plan;
  const uint32_t* indices;  // null: all
  const float* values;

  CDDP_HD Source(const Slot& slot, const Arrays& arrays, bool whole)
      : plan(slot.plan),
        indices(whole ? nullptr : arrays.candidate_indices + slot.plan.candidates_at),
        values(whole ? slot.NewResidual(arrays) : arrays.candidate_values + slot.plan.candidates_at) {}

  CDDP_HD uint32_t IndexAt(uint32_t i) const { return indices == nullptr ? i : indices[i]; }
  CDDP_HD uint32_t KeyAt(uint32_t i) const {
    const uint32_t key = BitsOf(values[i]) & kMagnitudeBits;
    return plan.forced != nullptr && plan.IsForced(IndexAt(i)) ? kForcedKey : key;
  }
  CDDP_HD uint32_t Size(const StepState& state) const { return indices == nullptr ? plan.length : state.candidates; }
};

// Finds the key of the smallest candidate to send, and the number of those equal to it to send: sets the selection's
// members of StepState. One block per slot.
//
// A search by digits of 11 bits. The threshold is most likely just above the least key, so the first digits cover
// the half octave from there on: plain digits would put most candidates into a few bins. Only if the threshold is
// higher, the search starts again over all keys.
struct FindKernel {
  static constexpr uint32_t kBlockThreads = 1024;
  static constexpr uint32_t kBins = 2048;
  static constexpr uint32_t kDigitBits = 11;
  static constexpr uint32_t kAhead = 16;

  Batch batch;
  Arrays arrays;

  // The threshold is among the keys [begin, begin + 2^bits): the rank-th largest of them.
  struct Interval {
    uint32_t begin;
    uint32_t bits;
    uint32_t rank;
  };

  struct Shared {
    uint32_t bins[kBins];
    uint32_t counts[kBlockThreads];
    uint32_t scratch[kBlockThreads];
    Interval interval;
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const Wanted& wanted = slot.plan.wanted;
    const uint32_t size = slot.state->candidates;
    if (slot.IsBad() || size > wanted.candidate_room) return;
    if (slot.near && slot.state->saturated == 0 && wanted.IsNear(size)) {
      block.Run([&](uint32_t t) {
        if (t == 0) SelectAll(slot, size);
      });
      return;
    }
    if (size < wanted.total()) return;
    const Source source(slot, arrays, /*whole=*/false);
    constexpr uint32_t kNarrowBits = 22;
    Search(block, shared, source, size, {slot.least_key, kNarrowBits, wanted.total()});
    const bool is_higher = shared.interval.rank == 0;
    block.Run([](uint32_t) {});  // all have read
    if (is_higher) Search(block, shared, source, size, {0, 31, wanted.total()});
    block.Run([&](uint32_t t) {
      if (t != 0) return;
      slot.state->selected = wanted.total();
      slot.state->threshold_key = shared.interval.begin;
      slot.state->ties = shared.interval.rank;
    });
  }

 private:
  CDDP_HD static void SelectAll(const Slot& slot, uint32_t size) {
    slot.state->selected = size;
    slot.state->takes_all = 1;
    slot.state->threshold_key = ~slot.state->largest_inverted;
  }

  // Narrows `start` to one key, or leaves a rank of 0 if enough keys lie above it.
  template <typename Block>
  CDDP_HD void Search(const Block& block, Shared& shared, const Source& source, uint32_t size,
                      const Interval& start) const {
    block.Run([&](uint32_t t) {
      if (t == 0) shared.interval = start;
    });
    for (uint32_t bits = start.bits; bits > 0;) {
      const uint32_t shift = bits - Min(bits, kDigitBits);
      CountDigits(block, shared, source, size, bits, shift);
      const bool is_first = bits == start.bits;
      const uint32_t above = is_first ? shared.counts[0] : 0, rank = shared.interval.rank,
                     begin = shared.interval.begin;
      block.Run([](uint32_t) {});  // all have read
      if (above >= rank) {
        block.Run([&](uint32_t t) {
          if (t == 0) shared.interval.rank = 0;
        });
        return;
      }
      const uint32_t wanted = rank - above;
      FindBin(block, shared.bins, kBins, kBins / kBlockThreads, wanted, shared.counts, shared.scratch,
              [&](uint32_t bin, uint32_t larger) {
                shared.interval = {begin + (bin << shift), shift, wanted - larger};
              });
      bits = shift;
    }
  }

  // The histogram of the digit, and in counts[0] the number of keys above the interval.
  template <typename Block>
  CDDP_HD void CountDigits(const Block& block, Shared& shared, const Source& source, uint32_t size, uint32_t bits,
                           uint32_t shift) const {
    block.Run([&](uint32_t t) {
      for (uint32_t b = t; b < kBins; b += kBlockThreads) shared.bins[b] = 0;
    });
    block.Run([&](uint32_t t) {
      const uint32_t begin = shared.interval.begin;
      uint32_t above = 0;
      for (uint32_t first = t; first < size; first += kAhead * kBlockThreads) {
        // All loads are under way before the first is used; the counting would keep them in order.
        uint32_t keys[kAhead];
        for (uint32_t j = 0; j < kAhead; ++j) {
          const uint32_t i = first + j * kBlockThreads;
          keys[j] = i < size ? source.KeyAt(i) : 0;
        }
        for (uint32_t j = 0; j < kAhead; ++j) {
          if (keys[j] < begin || first + j * kBlockThreads >= size) continue;
          if ((keys[j] - begin) >> bits != 0) {
            ++above;
          } else {
            AtomicAdd(&shared.bins[(keys[j] - begin) >> shift], 1u);
          }
        }
      }
      shared.counts[t] = above;
    });
    block.Sum(shared.counts);
  }
};

// Counts, for each tile of the source, the keys above the threshold and those equal to it, for MoveKernel.
struct CountKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;
  bool whole;

  struct Shared {
    uint64_t counts[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const Source source(slot, arrays, whole);
    const uint32_t begin = block.index() * kTile;
    if (slot.state->selected == 0 || begin >= source.Size(*slot.state)) return;
    const uint32_t end = Min(source.Size(*slot.state), begin + kTile);
    const uint32_t threshold = slot.state->threshold_key;
    block.Run([&](uint32_t t) {
      uint64_t count = 0;
      CDDP_UNROLL
      for (uint32_t j = 0; j < kTile / kThreads; ++j) {
        const uint32_t i = begin + j * kThreads + t;
        count += i < end ? Weight(source.KeyAt(i), threshold) : 0;
      }
      shared.counts[t] = count;
    });
    block.Sum(shared.counts);
    block.Run([&](uint32_t t) {
      if (t == 0) arrays.tile_counts[slot.plan.counts_at + block.index()] = shared.counts[0];
    });
  }

  CDDP_HD static uint64_t Weight(uint32_t key, uint32_t threshold) {
    if (key > threshold) return uint64_t{1} << 32;
    return key == threshold ? 1 : 0;
  }
};

// Moves the selected elements to lists in index order. A block per tile of the source.
struct MoveKernel {
  static constexpr uint32_t kBlockThreads = kThreads;

  Batch batch;
  Arrays arrays;
  bool whole;

  struct Shared {
    uint64_t before[kThreads];
    uint64_t counts[kThreads];
    uint64_t scratch[kThreads];
  };

  template <typename Block>
  CDDP_HD void operator()(const Block& block, Shared& shared) const {
    const Slot slot(batch, arrays, block.slot());
    const Source source(slot, arrays, whole);
    const uint32_t size = source.Size(*slot.state);
    const uint32_t begin = block.index() * kTile;
    if (slot.state->selected == 0 || begin >= size) return;
    const uint32_t threshold = slot.state->threshold_key;
    // All candidates are selected: each is above the threshold, or the threshold and a tie of as many as there may be.
    const uint32_t ties = slot.state->takes_all != 0 ? size : slot.state->ties;
    SumOf(block, arrays.tile_counts + slot.plan.counts_at, block.index(), shared.before);
    block.Run([&](uint32_t t) {
      const uint32_t first = begin + t * kEach;
      uint64_t count = 0;
      CDDP_UNROLL
      for (uint32_t j = 0; j < kEach; ++j) {
        count += first + j < size ? CountKernel::Weight(source.KeyAt(first + j), threshold) : 0;
      }
      shared.counts[t] = count;
    });
    block.Scan(shared.counts, shared.scratch);
    block.Run([&](uint32_t t) {
      MoveThread(source, size, begin + t * kEach, threshold, ties, shared.before[0] + shared.counts[t],
                 slot.plan.selected_at);
    });
  }

 private:
  static constexpr uint32_t kEach = kTile / kThreads;

  // Moves the selected ones of kEach elements from `first` on; `before` are selected before these (as in tile_counts).
  CDDP_HD void MoveThread(const Source& source, uint32_t size, uint32_t first, uint32_t threshold, uint32_t ties,
                          uint64_t before, uint64_t selected_at) const {
    // All loads are under way before the first store, which would keep them in order.
    uint32_t indices[kEach], keys[kEach];
    float values[kEach];
    CDDP_UNROLL
    for (uint32_t j = 0; j < kEach; ++j) {
      if (first + j >= size) continue;
      indices[j] = source.IndexAt(first + j);
      values[j] = source.values[first + j];
      keys[j] = source.plan.KeyOf(indices[j], values[j]);
    }
    CDDP_UNROLL
    for (uint32_t j = 0; j < kEach; ++j) {
      if (first + j >= size) continue;
      const uint64_t weight = CountKernel::Weight(keys[j], threshold);
      const auto equal_before = static_cast<uint32_t>(before);
      if (weight > 1 || (weight == 1 && equal_before < ties)) {
        const uint64_t to = selected_at + static_cast<uint32_t>(before >> 32) + Min(equal_before, ties);
        arrays.selected_indices[to] = indices[j];
        arrays.selected_values[to] = values[j];
      }
      before += weight;
    }
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_SELECT_KERNELS_H_
