#include "worker/trainer/skipped_steps.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace cddp {

absl::Status SkippedSteps::NoteRound(uint64_t exchange, uint64_t steps, uint64_t skipped, double loss) {
  steps_ += steps;
  skipped_ += skipped;
  last_loss_ = loss;
  skipped_in_row_ = skipped == steps ? skipped_in_row_ + skipped : 0;
  if (skipped == 0) return absl::OkStatus();
  if (stop_at_once_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", exchange, ": a gradient was not finite; lower --lr, or run without --stop_on_non_finite to skip it"));
  }
  if (most_in_row_ == 0 || skipped_in_row_ < most_in_row_) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "step ", exchange, ": the last ", skipped_in_row_,
      " steps were skipped, because the loss or a gradient was not finite; lower --lr (--max_skipped_steps is the "
      "limit)"));
}

absl::Status SkippedSteps::Judge() const {
  const char* what = 2 * skipped_ >= std::max<uint64_t>(steps_, 1) ? "most steps were skipped"
                     : !std::isfinite(last_loss_)                  ? "the last loss is not finite"
                                                                   : nullptr;
  if (what == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the training is over, but diverged: ", what, " (", skipped_,
                                                    " of ", steps_, " steps skipped); lower --lr"));
}

}  // namespace cddp
