// Turns completions of single tensors, in any order, into a falling boundary from which on all gradients are complete.

#ifndef WORKER_MODEL_GRADIENT_FRONTIER_H_
#define WORKER_MODEL_GRADIENT_FRONTIER_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "worker/model/gradient_listener.h"

namespace cddp {

// Not thread-safe: one backward pass at a time, on one thread.
class GradientFrontier {
 public:
  // `offsets`: where each tensor begins, ascending.
  explicit GradientFrontier(std::vector<uint64_t> offsets) : offsets_(std::move(offsets)) {}

  // Begins a pass that notifies `listener`, which may be null.
  void Start(GradientListener* listener) {
    listener_ = listener;
    complete_.assign(offsets_.size(), false);
    frontier_ = offsets_.size();
  }

  // May be called again for a tensor.
  void Complete(size_t tensor) {
    if (listener_ == nullptr) return;
    complete_[tensor] = true;
    const size_t before = frontier_;
    while (frontier_ > 0 && complete_[frontier_ - 1]) --frontier_;
    if (frontier_ < before) listener_->OnGradients(offsets_[frontier_]);
  }

  // Ends the pass: a tensor without a gradient is as complete as it will be.
  void Finish() {
    if (listener_ != nullptr && frontier_ > 0) listener_->OnGradients(0);
    listener_ = nullptr;
  }

 private:
  const std::vector<uint64_t> offsets_;
  std::vector<bool> complete_;
  size_t frontier_ = 0;  // tensors from here on are complete
  GradientListener* listener_ = nullptr;
};

}  // namespace cddp

#endif  // WORKER_MODEL_GRADIENT_FRONTIER_H_
