// A linear axis whose ticks are round numbers.

#ifndef DEPLOY_CTL_AXIS_H_
#define DEPLOY_CTL_AXIS_H_

#include <string>

namespace cddp::ctl {

// Goes from low to low + kIntervals * step: all axes have as many ticks, so that two of them can share grid lines.
class Axis {
 public:
  static constexpr int kIntervals = 5;

  // From 0 to at least `max`.
  static Axis FromZero(double max);

  // For percentages: shows min .. max as large as possible, within 0 .. 100.
  static Axis Percent(double min, double max);

  double low() const { return low_; }
  double high() const { return low_ + kIntervals * step_; }
  double tick(int index) const { return low_ + index * step_; }  // 0 .. kIntervals

  // With as many decimals as tell the ticks apart.
  std::string Label(int index) const;

  // The place of a value between `at_low` and `at_high`, in whatever unit those are.
  double Place(double value, double at_low, double at_high) const {
    return at_low + (value - low_) / (high() - low_) * (at_high - at_low);
  }

 private:
  Axis(double low, double step) : low_(low), step_(step) {}
  double low_;
  double step_;
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_AXIS_H_
