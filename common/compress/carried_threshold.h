// The thresholds that a compressor carries from step to step.

#ifndef COMMON_COMPRESS_CARRIED_THRESHOLD_H_
#define COMMON_COMPRESS_CARRIED_THRESHOLD_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace cddp {

// A lower threshold for exact top-k: the last step's, extrapolated by its trend, less a margin. Only speed depends on
// it, never a result. The margin adapts so that slightly more than k candidates reach it. Too small a margin costs a
// second pass, too large a one only some more candidates, so it grows at once and shrinks slowly.
//
// The trend matters: where gradients keep their direction, residuals grow, and with a small ratio so does the
// threshold, by 1 % per step after a hundred steps. Most unsent elements then lie just below it, so that the last
// threshold without the trend would let four times as many pass as are wanted, step after step.
class CarriedThreshold {
 public:
  bool known() const { return least_key_ > 0; }
  uint32_t least_key() const { return least_key_; }

  // The target number of candidates: k times base + by_root / sqrt(k), since small numbers vary more. A GPU has a
  // higher target: candidates cost it little, and a second search for one bucket makes all others wait.
  struct Aim {
    float base = 1.2f;
    float by_root = 4;
  };

  // Adapts the margin after a step: `candidates` elements reached least_key(), `k` were wanted; `overflow`: there was
  // not enough room for them. Only if known() was true.
  void Judge(size_t candidates, size_t k, bool overflow, const Aim& aim) {
    const float excess = static_cast<float>(candidates) / static_cast<float>(k);
    const float wanted = aim.base + aim.by_root / std::sqrt(static_cast<float>(k));
    if (overflow) {
      margin_ /= 2;
    } else if (excess < 1) {
      margin_ *= 2;
    } else if (excess > wanted) {
      margin_ *= 0.9f;
    } else {
      margin_ *= 1.05f;
    }
    margin_ = std::clamp(margin_, 0.0075f, 0.5f);
  }

  // Sets the threshold of the step just made.
  void Carry(float threshold) {
    if (last_ > 0 && threshold > 0) growth_ += (std::clamp(threshold / last_, 0.5f, 2.0f) - growth_) / 4;
    last_ = threshold;
    least_key_ = std::min(std::bit_cast<uint32_t>(threshold * growth_ * (1 - margin_)), kLargestKey);
  }

 private:
  static constexpr uint32_t kLargestKey = 0x7f7fffff;  // of a finite number

  float margin_ = 0.1f;
  float last_ = 0;
  float growth_ = 1;  // per step, smoothed
  uint32_t least_key_ = 0;
};

// The threshold of Selection::kThreshold, adapted so that about k elements reach it. Results depend on it, so it uses
// plain arithmetic.
class AdaptiveThreshold {
 public:
  uint32_t key() const { return std::bit_cast<uint32_t>(threshold_); }
  bool known() const { return threshold_ > 0; }
  float threshold() const { return threshold_; }

  void Set(float threshold) { threshold_ = threshold; }
  // After a step in which `count` of k wanted elements reached it, k / 2 <= count <= 2 k. The number falls with about
  // the eighth power of a threshold at the 1 % tail of a Gaussian.
  void Adapt(size_t count, size_t k) {
    const auto wanted = static_cast<float>(k);
    threshold_ *= 1 + (static_cast<float>(count) - wanted) / (8 * wanted);
  }

 private:
  float threshold_ = 0;
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_CARRIED_THRESHOLD_H_
