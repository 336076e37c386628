#include "worker/rounds/ratio_control.h"

#include <algorithm>
#include <utility>

namespace cddp {
namespace {

constexpr uint64_t kCalm = 2;            // windows with little waiting before it sends more
constexpr uint64_t kFirstPause = 8;      // windows before a level that was too much is tried again
constexpr uint64_t kLongestPause = 128;  // likewise, at most
constexpr double kShorter = 0.8;         // part of the wait that a lower level must reach
constexpr uint64_t kLongestNoDownFor = 64;

constexpr RatioLevel kTable[] = {
    {{1, ValueEncoding::kInt4, IndexEncoding::kDense}, 4.1},
    {{1, ValueEncoding::kInt2, IndexEncoding::kDense}, 2.1},
    {{1, ValueEncoding::kTernary, IndexEncoding::kDense}, 1.1},
    {{0.05, ValueEncoding::kInt4, IndexEncoding::kRice}, 0.5},
    {{0.02, ValueEncoding::kInt4, IndexEncoding::kGap8}, 0.25},
    {{0.01, ValueEncoding::kInt4, IndexEncoding::kGap8}, 0.13},
    {{0.003, ValueEncoding::kInt4, IndexEncoding::kRice}, 0.042},
    {{0.001, ValueEncoding::kInt4, IndexEncoding::kRice}, 0.016},
};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

absl::Span<const RatioLevel> RatioLevels() { return kTable; }

bool RatioControl::NoteRound(double compute_seconds, double wait_seconds, const Limits& limits) {
  static_assert(std::size(kTable) == kLevels);
  if (std::exchange(is_new_, false)) return false;
  compute_.push_back(compute_seconds);
  wait_.push_back(wait_seconds);
  if (compute_.size() < kWindow) return false;
  const double compute = Median(std::exchange(compute_, {}));
  const double wait = Median(std::exchange(wait_, {}));
  ++windows_;
  return Decide(compute, wait, limits);
}

void RatioControl::StartWindow() {
  is_new_ = true;
  compute_.clear();
  wait_.clear();
  down_.reset();
  up_.reset();
}

bool RatioControl::Decide(double compute_seconds, double wait_seconds, const Limits& limits) {
  const std::optional<Trial> down = std::exchange(down_, std::nullopt);
  const std::optional<Trial> up = std::exchange(up_, std::nullopt);
  if (down.has_value() && wait_seconds > kShorter * down->wait_seconds) {
    no_down_until_ = windows_ + no_down_for_;
    no_down_for_ = std::min(2 * no_down_for_, kLongestNoDownFor);
    MoveTo(down->from);
    return true;
  }
  const double share = wait_seconds / std::max(compute_seconds + wait_seconds, 1e-9);
  calm_ = share < kLittleWaiting ? calm_ + 1 : 0;
  if (share > kMostWaiting) {
    if (up.has_value()) {
      uint64_t& pause = no_up_for_[level_];
      pause = std::clamp(2 * pause, kFirstPause, kLongestPause);
      no_up_until_[level_] = windows_ + pause;
      MoveTo(up->from);
      return true;
    }
    return GoDown(compute_seconds, wait_seconds, limits);
  }
  return (limits.may_go_up || level_ > limits.lowest) && calm_ >= (has_gone_down_ ? kCalm : 1) && GoUp(wait_seconds);
}

bool RatioControl::GoDown(double compute_seconds, double wait_seconds, const Limits& limits) {
  if (!CanGoDown(limits)) return false;
  const double fitting = kTable[level_].bits * compute_seconds / (compute_seconds + wait_seconds);
  size_t level = level_ + 1;
  while (level < limits.lowest && kTable[level].bits > fitting) ++level;
  down_ = Trial{level_, wait_seconds};
  MoveTo(level);
  return true;
}

bool RatioControl::GoUp(double wait_seconds) {
  if (level_ == 0 || windows_ < no_up_until_[level_ - 1]) return false;
  up_ = Trial{level_, wait_seconds};
  MoveTo(level_ - 1);
  return true;
}

void RatioControl::MoveTo(size_t level) {
  has_gone_down_ |= level > level_;
  level_ = level;
  is_new_ = true;
  calm_ = 0;
}

}  // namespace cddp
