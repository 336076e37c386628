#include "common/optimizer/optimizer_loops.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/optimizer/optimizer_loops.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

// Plain loops: the compiler vectorises them with the instructions of each target.
HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

void ScaleKernel(float factor, float* HWY_RESTRICT values, size_t size) {
  for (size_t i = 0; i < size; ++i) values[i] *= factor;
}

void AddWeightsKernel(float factor, const float* HWY_RESTRICT weights, const float* HWY_RESTRICT residual,
                      float* HWY_RESTRICT gradient, size_t size) {
  if (residual == nullptr) {
    for (size_t i = 0; i < size; ++i) gradient[i] += factor * weights[i];
  } else {
    for (size_t i = 0; i < size; ++i) gradient[i] += factor * (weights[i] + residual[i]);
  }
}

void MomentumKernel(const MomentumFactors& factors, float* HWY_RESTRICT gradient, float* HWY_RESTRICT m, size_t size) {
  const MomentumFactors f = factors;
  if (f.nesterov) {
    for (size_t i = 0; i < size; ++i) {
      const float g = f.scale * gradient[i];
      m[i] = f.momentum * m[i] + g;
      gradient[i] = -f.lr * (g + f.momentum * m[i]);
    }
  } else {
    for (size_t i = 0; i < size; ++i) {
      m[i] = f.momentum * m[i] + f.scale * gradient[i];
      gradient[i] = -f.lr * m[i];
    }
  }
}

void AdamKernel(const AdamFactors& factors, float* HWY_RESTRICT gradient, float* HWY_RESTRICT m, float* HWY_RESTRICT v,
                size_t size) {
  const AdamFactors f = factors;
  for (size_t i = 0; i < size; ++i) {
    m[i] = f.beta1 * m[i] + (1 - f.beta1) * gradient[i];
    v[i] = f.beta2 * v[i] + (1 - f.beta2) * gradient[i] * gradient[i];
    gradient[i] = -f.step_size * m[i] / (std::sqrt(v[i]) * f.square_scale + f.epsilon);
  }
}

void AdamWKernel(const AdamFactors& factors, float keep, float* HWY_RESTRICT weights,
                 const float* HWY_RESTRICT gradient, float* HWY_RESTRICT m, float* HWY_RESTRICT v, size_t size) {
  const AdamFactors f = factors;
  for (size_t i = 0; i < size; ++i) {
    m[i] = f.beta1 * m[i] + (1 - f.beta1) * gradient[i];
    v[i] = f.beta2 * v[i] + (1 - f.beta2) * gradient[i] * gradient[i];
    weights[i] = keep * weights[i] - f.step_size * m[i] / (std::sqrt(v[i]) * f.square_scale + f.epsilon);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(ScaleKernel);
HWY_EXPORT(AddWeightsKernel);
HWY_EXPORT(MomentumKernel);
HWY_EXPORT(AdamKernel);
HWY_EXPORT(AdamWKernel);

void Scale(float factor, float* values, size_t size) { HWY_DYNAMIC_DISPATCH(ScaleKernel)(factor, values, size); }

void AddWeights(float factor, const float* weights, const float* residual, float* gradient, size_t size) {
  HWY_DYNAMIC_DISPATCH(AddWeightsKernel)(factor, weights, residual, gradient, size);
}

void MomentumLoop(const MomentumFactors& factors, float* gradient, float* m, size_t size) {
  HWY_DYNAMIC_DISPATCH(MomentumKernel)(factors, gradient, m, size);
}

AdamFactors AdamFactorsOf(double lr, double beta1, double beta2, double epsilon, uint64_t step) {
  const double t = static_cast<double>(step);
  AdamFactors factors;
  factors.beta1 = static_cast<float>(beta1);
  factors.beta2 = static_cast<float>(beta2);
  factors.step_size = static_cast<float>(lr / (1 - std::pow(beta1, t)));
  factors.square_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  factors.epsilon = static_cast<float>(epsilon);
  return factors;
}

void AdamLoop(const AdamFactors& factors, float* gradient, float* m, float* v, size_t size) {
  HWY_DYNAMIC_DISPATCH(AdamKernel)(factors, gradient, m, v, size);
}

void AdamWLoop(const AdamFactors& factors, float keep, float* weights, const float* gradient, float* m, float* v,
               size_t size) {
  HWY_DYNAMIC_DISPATCH(AdamWKernel)(factors, keep, weights, gradient, m, v, size);
}

}  // namespace cddp
#endif  // HWY_ONCE
