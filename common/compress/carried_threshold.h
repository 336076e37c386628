// The thresholds that a compressor carries from step to step.

#ifndef COMMON_COMPRESS_CARRIED_THRESHOLD_H_
#define COMMON_COMPRESS_CARRIED_THRESHOLD_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace cddp {

// A lower threshold for exact top-k: the last step's less a margin. Only speed depends on it, never a result. The
// margin follows the candidates: a few more than k are wanted. A margin too small costs a second pass, one too large
// only some more candidates, so it grows at once and shrinks slowly.
class CarriedThreshold {
 public:
  bool known() const { return least_key_ > 0; }
  uint32_t least_key() const { return least_key_; }

  // What came of least_key(): `candidates` reached it, of which `k` were wanted; more than there was room for counts as
  // `overflow`. Unless known() was false.
  void Judge(size_t candidates, size_t k, bool overflow) {
    const float excess = static_cast<float>(candidates) / static_cast<float>(k);
    const float wanted = 1.2f + 4 / std::sqrt(static_cast<float>(k));
    if (overflow) {
      margin_ /= 2;
    } else if (excess < 1) {
      margin_ *= 2;
    } else if (excess > wanted) {
      margin_ *= 0.9f;
    } else {
      margin_ *= 1.05f;
    }
    margin_ = std::clamp(margin_, 0.005f, 0.5f);
  }

  // The threshold of the step just made.
  void Carry(float threshold) { least_key_ = std::bit_cast<uint32_t>(threshold * (1 - margin_)); }

 private:
  float margin_ = 0.1f;
  uint32_t least_key_ = 0;
};

// The threshold of Selection::kThreshold, moved so that about k elements reach it. Plain arithmetic: a result depends
// on it.
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
