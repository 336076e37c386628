// A linear axis whose ticks are round numbers.

#ifndef DEPLOY_CTL_AXIS_H_
#define DEPLOY_CTL_AXIS_H_

#include <string>

namespace cddp::ctl {

// Goes from low to low + kIntervals * step. All axes have the same number of ticks, so that two can share grid lines.
class Axis {
 public:
  static constexpr int kIntervals = 5;

  // From 0 to at least `max`.
  static Axis FromZero(double max);

  // For percentages: the smallest axis within 0 .. 100 that holds min .. max.
  static Axis Percent(double min, double max);

  double low() const { return low_; }
  double high() const { return low_ + kIntervals * step_; }
  double tick(int index) const { return low_ + index * step_; }  // 0 .. kIntervals

  // With just enough decimals to tell the ticks apart.
  std::string Label(int index) const;

  // The position of a value between `at_low` and `at_high`, in their unit.
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
