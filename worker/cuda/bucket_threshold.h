// The threshold that one bucket carries from step to step, as in TopKCompressor (common/compress). With
// Selection::kThreshold results depend on it.

#ifndef WORKER_CUDA_BUCKET_THRESHOLD_H_
#define WORKER_CUDA_BUCKET_THRESHOLD_H_

#include <bit>
#include <cstdint>

#include "common/compress/bucket_compressor.h"
#include "common/compress/carried_threshold.h"
#include "worker/cuda/bucket_batch.h"

namespace cddp {

class BucketThreshold {
 public:
  // The least key of the coming step's candidates.
  uint32_t least_key(const device::Wanted& wanted) const {
    if (wanted.k == 0) return device::kForcedOnlyKey;
    if (adaptive_.known()) return adaptive_.key();
    return carried_.known() && unsteady_ == 0 ? carried_.least_key() : device::kEstimateKey;
  }
  // Whether all candidates are sent if their number is near k.
  bool is_near() const { return adaptive_.known(); }

  // Call it after the pass: judges its least key by the candidates; true if nothing could be selected from them.
  bool NeedsSearch(const device::Wanted& wanted, const device::StepState& state) {
    if (state.takes_all != 0 || wanted.k == 0) return state.selected == 0;
    const uint32_t others = state.candidates < wanted.forced ? 0 : state.candidates - wanted.forced;
    if (unsteady_ == 0) carried_.Judge(others, wanted.k, state.candidates > wanted.candidate_room, kAim);
    if (state.selected != 0) return false;
    if (unsteady_ == 0) unsteady_ = kUnsteadySteps;
    return true;
  }

  // Call it after the selection.
  void Carry(const device::Wanted& wanted, Selection selection, const device::StepState& state) {
    if (state.takes_all != 0) return adaptive_.Adapt(state.candidates - wanted.forced, wanted.k);
    if (wanted.k == 0) return;
    const auto threshold = std::bit_cast<float>(state.threshold_key);
    carried_.Carry(threshold);
    if (unsteady_ > 0) --unsteady_;
    if (selection == Selection::kThreshold) adaptive_.Set(threshold);
  }

  // For a checkpoint, see BucketCompressor::threshold.
  float threshold() const { return adaptive_.threshold(); }
  void set_threshold(float threshold) { adaptive_.Set(threshold); }

 private:
  static constexpr CarriedThreshold::Aim kAim = {.base = 1.4f, .by_root = 20};

  // While gradients change much from step to step, as early in a training, a sample predicts better than the last step.
  // It costs a kernel per batch, but a search of one bucket costs several.
  static constexpr int kUnsteadySteps = 8;

  CarriedThreshold carried_;
  AdaptiveThreshold adaptive_;
  int unsteady_ = 0;  // remaining steps in which the threshold is estimated
};

}  // namespace cddp

#endif  // WORKER_CUDA_BUCKET_THRESHOLD_H_
