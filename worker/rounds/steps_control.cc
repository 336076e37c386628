#include "worker/rounds/steps_control.h"

#include <algorithm>
#include <utility>

namespace cddp {
namespace {

constexpr uint64_t kCalm = 2;        // windows in which fewer steps would do, before it wishes them
constexpr double kShorter = 0.8;     // part of the wait per step that more steps must reach
constexpr uint32_t kMostGrowth = 4;  // times as many steps at once
constexpr uint64_t kLongestPause = 128;

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Share(double compute_seconds, double wait_seconds) {
  return wait_seconds / std::max(compute_seconds + wait_seconds, 1e-9);
}

}  // namespace

void StepsControl::NoteRound(uint32_t steps, double compute_seconds, double wait_seconds, bool can_send_less) {
  if (steps != steps_) {
    steps_ = steps;
    is_new_ = true;
    calm_ = 0;
    compute_.clear();
    wait_.clear();
  }
  if (std::exchange(is_new_, false)) return;
  compute_.push_back(compute_seconds);
  wait_.push_back(wait_seconds);
  if (compute_.size() < kWindow) return;
  const double compute = Median(std::exchange(compute_, {}));
  const double wait = Median(std::exchange(wait_, {}));
  ++windows_;
  Decide(compute, wait, can_send_less);
}

void StepsControl::Decide(double compute_seconds, double wait_seconds, bool can_send_less) {
  const double share = Share(compute_seconds, wait_seconds);
  if (more_.has_value() && steps_ > more_->from) {
    const Trial trial = *std::exchange(more_, std::nullopt);
    if (wait_seconds / steps_ > kShorter * trial.wait_a_step) {
      no_more_until_ = windows_ + no_more_for_;
      no_more_for_ = std::min(2 * no_more_for_, kLongestPause);
      wish_ = trial.from;
      return;
    }
  }
  wish_ = steps_;
  if (share > kMostWaiting) {
    calm_ = 0;
    if (const uint32_t before = std::exchange(came_from_, 0); before > steps_) {
      no_fewer_until_ = windows_ + no_fewer_for_;
      no_fewer_for_ = std::min(2 * no_fewer_for_, kLongestPause);
      wish_ = before;
      return;
    }
    if (!can_send_less && windows_ >= no_more_until_ && steps_ < kMostLocalSteps) {
      more_ = Trial{steps_, wait_seconds / steps_};
      wish_ = WishMore(compute_seconds, wait_seconds);
    }
    return;
  }
  const bool would_do = steps_ > kFewestLocalSteps && Share(compute_seconds / 2, wait_seconds) < kLittleWaiting;
  calm_ = would_do ? calm_ + 1 : 0;
  if (calm_ < kCalm || windows_ < no_fewer_until_) return;
  calm_ = 0;
  came_from_ = steps_;
  wish_ = steps_ / 2;
}

uint32_t StepsControl::WishMore(double compute_seconds, double wait_seconds) {
  const double step_seconds = compute_seconds / steps_;
  const uint32_t most = std::min(kMostGrowth * steps_, kMostLocalSteps);
  uint32_t wish = 2 * steps_;
  while (wish < most && Share(step_seconds * wish, wait_seconds) > kMostWaiting) wish *= 2;
  return wish;
}

}  // namespace cddp
