// A batch of buckets that one launch of each kernel compresses: the kernels' arguments, their arrays, and the results
// that they pass to each other and, at the end, to the host.

#ifndef WORKER_CUDA_BUCKET_BATCH_H_
#define WORKER_CUDA_BUCKET_BATCH_H_

#include <cstddef>
#include <cstdint>

#include "worker/cuda/device_code.h"

namespace cddp::device {

inline constexpr uint32_t kTile = 4096;        // elements of a block's pass
inline constexpr uint32_t kMostSlots = 128;    // buckets of a batch: its table is an argument of each kernel
inline constexpr uint32_t kIndexBlock = 1024;  // of an update, as in common/codec/index_blocks.h

// Keys are the bits of magnitudes, as in common/compress/candidates.h.
inline constexpr uint32_t kMagnitudeBits = 0x7fffffffu;
inline constexpr uint32_t kInfinityBits = 0x7f800000u;
inline constexpr uint32_t kLargestFloatBits = 0x7f7fffffu;
// The key of an element that is always sent: above all magnitudes.
inline constexpr uint32_t kForcedKey = 0x7fffffffu;
// A least key that only forced elements reach.
inline constexpr uint32_t kForcedOnlyKey = kInfinityBits;
// Instead of a least key: use StepState::estimated_key.
inline constexpr uint32_t kEstimateKey = 0xffffffffu;

// The number of a bucket's elements to send.
struct Wanted {
  uint32_t forced = 0;  // always sent
  uint32_t k = 0;       // of the others
  uint32_t candidate_room = 0;

  CDDP_HD uint32_t total() const { return forced + k; }
  // With Selection::kThreshold: whether all `candidates`, including forced ones, are to be sent.
  CDDP_HD bool IsNear(uint32_t candidates) const {
    return candidates >= forced + (k + 1) / 2 && candidates <= forced + 2 * static_cast<uint64_t>(k);
  }
};

// One bucket's place in the engine's arrays.
struct BucketPlan {
  uint64_t begin = 0;  // of its elements in gradients, residuals, velocities and weights
  uint32_t length = 0;
  uint32_t first_tile = 0;     // in hits and tile_hits
  uint64_t candidates_at = 0;  // in candidate_indices and candidate_values
  uint64_t selected_at = 0;    // in selected_indices and selected_values
  uint32_t counts_at = 0;      // in tile_counts
  uint32_t escapes_at = 0;     // in part_escapes
  Wanted wanted;
  const uint32_t* forced = nullptr;  // one bit per element in whole tiles, in device memory; null: none

  CDDP_HD bool IsForced(uint32_t index) const {
    return forced != nullptr && (forced[index / 32] >> index % 32 & 1) != 0;
  }
  CDDP_HD uint32_t KeyOf(uint32_t index, float value) const {
    return IsForced(index) ? kForcedKey : BitsOf(value) & kMagnitudeBits;
  }
};

// State of one bucket's compression, zeroed before it. By slot.
struct StepState {
  double sum_sq;              // of the compensated elements
  double sent_sq;             // decrease of sum_sq by sending
  uint32_t input_bad;         // the input or the loss is NaN or infinite
  uint32_t residual_bad;      // the residual holds NaN
  uint32_t saturated;         // a sum was beyond the largest float
  uint32_t estimated_key;     // if requested
  uint32_t candidates;        // elements that reach the least key, and forced ones
  uint32_t largest_inverted;  // ~key of the smallest candidate that is not forced
  uint32_t selected;          // elements sent; 0 if there were too few or too many candidates
  uint32_t takes_all;         // all candidates are selected
  uint32_t threshold_key;     // of the smallest selected
  uint32_t ties;              // number of selected elements equal to it
  uint32_t escapes;           // bytes of 255 in the index part
};

// The coding of values; see ValueEncoding.
struct ValueCoding {
  uint32_t encoding = 0;
  uint32_t code_bits = 0;    // of the block-scaled encodings; 0 for the others
  uint32_t value_bytes = 0;  // per value of the other encodings

  CDDP_HD uint32_t Bytes(uint32_t count) const {
    if (code_bits == 0) return count * value_bytes;
    return Blocks(count, 256) * 4 + (count / 8 * code_bits + Blocks(count % 8 * code_bits, 8));
  }
};

inline constexpr uint32_t kHeaderBytes = 20;
inline constexpr uint32_t kEntryBytes = 8;

CDDP_HD inline uint32_t IndexBytes(uint32_t count, uint32_t escapes) {
  return (Blocks(count, kIndexBlock) - 1) * kEntryBytes + count + escapes;
}

// Bytes of a bucket's update; 0 if none was made. Updates follow each other at multiples of 16 bytes.
CDDP_HD inline uint32_t UpdateBytes(const StepState& state, const ValueCoding& coding) {
  if (state.selected == 0) return 0;
  return kHeaderBytes + IndexBytes(state.selected, state.escapes) + coding.Bytes(state.selected);
}
CDDP_HD inline uint32_t PaddedBytes(uint32_t bytes) { return (bytes + 15) / 16 * 16; }

// The buckets of a batch, by slot.
struct Batch {
  uint32_t count = 0;
  uint32_t buckets[kMostSlots];
  uint32_t least_keys[kMostSlots];  // of candidates
  uint8_t near[kMostSlots];         // Selection::kThreshold with a threshold of its own: Wanted::IsNear
  uint8_t second[kMostSlots];  // index of the bucket's present residual (and velocity); the pass writes the other one
};

// The engine's device memory.
struct Arrays {
  const BucketPlan* plans = nullptr;
  float* residuals[2] = {};
  float* velocities[2] = {};  // null without momentum correction
  uint32_t* hits = nullptr;   // one bit per element in whole tiles: 1 for a candidate
  uint32_t* tile_hits = nullptr;
  uint32_t* candidate_indices = nullptr;
  float* candidate_values = nullptr;
  uint64_t* tile_counts = nullptr;  // by tile of the source: count above the threshold << 32 | equal to it
  uint32_t* selected_indices = nullptr;
  float* selected_values = nullptr;
  uint32_t* part_escapes = nullptr;
  StepState* states = nullptr;     // by slot
  uint32_t* histograms = nullptr;  // by slot: kDigits of kMaxBins
  uint8_t* bytes = nullptr;        // the updates
};

// The common data of one slot's blocks.
struct Slot {
  BucketPlan plan;
  StepState* state;
  uint32_t least_key;
  bool near;
  bool second;

  CDDP_HD Slot(const Batch& batch, const Arrays& arrays, uint32_t slot)
      : plan(arrays.plans[batch.buckets[slot]]),
        state(arrays.states + slot),
        least_key(batch.least_keys[slot]),
        near(batch.near[slot] != 0),
        second(batch.second[slot] != 0) {
    if (least_key == kEstimateKey) least_key = state->estimated_key;
  }

  // The residual before the step and after it.
  CDDP_HD float* OldResidual(const Arrays& arrays) const { return arrays.residuals[second ? 1 : 0] + plan.begin; }
  CDDP_HD float* NewResidual(const Arrays& arrays) const { return arrays.residuals[second ? 0 : 1] + plan.begin; }
  CDDP_HD bool IsBad() const { return state->input_bad != 0 || state->residual_bad != 0; }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_BUCKET_BATCH_H_
