// What the kernels of one compression tell each other and, at its end, the host. Lives in device memory; zeroed before
// each step.

#ifndef WORKER_CUDA_STEP_STATE_H_
#define WORKER_CUDA_STEP_STATE_H_

#include <cstdint>

#include "worker/cuda/device_code.h"

namespace cddp::device {

// Keys are the bits of magnitudes, as in common/compress/candidates.h.
inline constexpr uint32_t kMagnitudeBits = 0x7fffffffu;
inline constexpr uint32_t kInfinityBits = 0x7f800000u;
inline constexpr uint32_t kLargestFloatBits = 0x7f7fffffu;
// The key of an element that is sent whatever its size: above all magnitudes.
inline constexpr uint32_t kForcedKey = 0x7fffffffu;
// A least key that nothing reaches.
inline constexpr uint32_t kNoCandidatesKey = 0x80000000u;

// Elements that are sent whatever their size; one bit an element, none if null.
struct ForcedElements {
  const uint32_t* bits = nullptr;

  CDDP_HD bool Has(uint32_t index) const { return bits != nullptr && (bits[index / 32] >> index % 32 & 1) != 0; }
  CDDP_HD uint32_t KeyOf(uint32_t index, float value) const {
    return Has(index) ? kForcedKey : BitsOf(value) & kMagnitudeBits;
  }
};

struct StepState {
  double sum_sq;              // of the compensated elements
  double sent_sq;             // by how much sending has lowered it
  uint32_t input_bad;         // the input holds NaN or infinity: nothing has changed
  uint32_t residual_bad;      // the residual holds NaN
  uint32_t candidates;        // that reach the least key, and forced elements
  uint32_t largest_inverted;  // ~key of the smallest candidate that is not forced
  uint32_t selected;          // elements sent; 0 if the candidates were not enough or too many
  uint32_t threshold_key;     // of the smallest selected
  uint32_t escapes;           // bytes of 255 in the index part
};

// How many are wanted.
struct Wanted {
  uint32_t forced = 0;
  uint32_t k = 0;  // of the others
  uint32_t candidate_room = 0;
  bool any_near_k = false;  // all candidates, if they are from k/2 to 2k besides the forced

  CDDP_HD uint32_t total() const { return forced + k; }
  CDDP_HD bool TakesAll(uint32_t candidates) const {
    return any_near_k && candidates >= forced + (k + 1) / 2 && candidates <= forced + 2 * static_cast<uint64_t>(k);
  }
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_STEP_STATE_H_
