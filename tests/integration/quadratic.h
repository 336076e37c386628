#pragma once

// A problem whose minimum is known, for tests of whole clusters: a quadratic over a small layout, with what these tests
// set alike.

#include <cmath>
#include <random>
#include <vector>

#include "tests/integration/local_cluster.h"

namespace cddp {

inline CompressorOptions TopK(double ratio, ValueEncoding values = ValueEncoding::kFp16) {
  CompressorOptions options;
  options.ratio = ratio;
  options.value_encoding = values;
  return options;
}

inline OptimizerOptions PlainSgd(double lr) {
  OptimizerOptions options;
  options.lr.base = lr;
  options.momentum = 0;
  return options;
}

inline ParameterLayout Layout() {
  return *ParameterLayout::Create({{"fc1.weight", {60, 50}}, {"fc1.bias", {60}}, {"fc2.weight", {10, 60}}}, 512);
}

inline std::vector<float> Noise(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Worker r pulls towards its own target; the minimum of the sum is the mean of the targets.
class Quadratic {
 public:
  Quadratic(uint32_t workers, size_t count) : curvature_(Noise(count, 99)) {
    for (uint32_t rank = 0; rank < workers; ++rank) targets_.push_back(Noise(count, rank));
    for (float& c : curvature_) c = 0.5f + std::abs(c);
  }

  GradientFunction gradient() const {
    return [this](uint32_t rank, uint64_t, absl::Span<const float> weights, absl::Span<float> gradient) {
      for (size_t i = 0; i < weights.size(); ++i) gradient[i] = curvature_[i] * (weights[i] - targets_[rank][i]);
    };
  }

  double DistanceFromMinimum(const std::vector<float>& weights) const {
    double squares = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      double mean = 0;
      for (const std::vector<float>& target : targets_) mean += target[i] / static_cast<double>(targets_.size());
      squares += (weights[i] - mean) * (weights[i] - mean);
    }
    return std::sqrt(squares / static_cast<double>(weights.size()));
  }

 private:
  std::vector<float> curvature_;
  std::vector<std::vector<float>> targets_;
};

}  // namespace cddp
