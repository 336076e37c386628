#include "deploy/ctl/axis.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace cddp::ctl {
namespace {

// The smallest of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is at least `least`.
double RoundStep(double least) {
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (double factor : {1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

Axis Axis::FromZero(double max) {
  return Axis(0, std::isfinite(max) && max > 0 ? RoundStep(max / kIntervals) : 1.0 / kIntervals);
}

Axis Axis::Percent(double min, double max) {
  for (double step : {0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0}) {
    const double high = std::min(100.0, std::ceil(max / step) * step);
    if (high - kIntervals * step <= min && high >= kIntervals * step) return Axis(high - kIntervals * step, step);
  }
  return Axis(0, 100.0 / kIntervals);
}

std::string Axis::Label(int index) const {
  int decimals = 0;
  while (decimals < 6 && std::abs(std::remainder(step_, std::pow(10, -decimals))) > step_ * 1e-6) ++decimals;
  return absl::StrFormat("%.*f", decimals, tick(index));
}

}  // namespace cddp::ctl
