// The resources for which a simulated cluster's messages compete: both directions of links, and processors.

#ifndef DEPLOY_PLAN_RESOURCES_H_
#define DEPLOY_PLAN_RESOURCES_H_

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cddp::plan {

// Serves requests one after the other, in the order of calls. Times are seconds and must not decrease from call to
// call.
class Line {
 public:
  // Occupies the line for `seconds`, from `time` on or later; returns the time at which that begins.
  double Begin(double time, double seconds) {
    const double begin = std::max(time, free_);
    free_ = begin + seconds;
    busy_ += seconds;
    return begin;
  }
  double free() const { return free_; }  // when all requests so far are served
  double busy() const { return busy_; }

 private:
  double free_ = 0;
  double busy_ = 0;
};

// Cores that share their work.
class Processor {
 public:
  explicit Processor(uint32_t cores) : cores_(cores) {}

  // Uses one core for `seconds`, from `time` on or later; returns the time at which that ends.
  double Work(double time, double seconds) {
    Line& core = *std::min_element(cores_.begin(), cores_.end(),
                                   [](const Line& a, const Line& b) { return a.free() < b.free(); });
    core.Begin(time, seconds);
    busy_ += seconds;
    return core.free();
  }
  double busy() const { return busy_; }  // of all cores together
  double share(double seconds) const { return busy_ / (seconds * static_cast<double>(cores_.size())); }

 private:
  std::vector<Line> cores_;
  double busy_ = 0;
};

struct Link {
  Line up, down;
  double share(double seconds) const { return std::max(up.busy(), down.busy()) / seconds; }
};

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_RESOURCES_H_
