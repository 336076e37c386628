// The loops of the optimizers, compiled for each instruction set and chosen at run time. They have no contraction and
// no reordering, so the results are the same on all. Arrays of one call have `size` elements and do not overlap.

#ifndef COMMON_OPTIMIZER_OPTIMIZER_LOOPS_H_
#define COMMON_OPTIMIZER_OPTIMIZER_LOOPS_H_

#include <cstddef>
#include <cstdint>

namespace cddp {

// values *= factor
void Scale(float factor, float* values, size_t size);

// g += factor * w, or with a residual (not null) g += factor * (w + residual)
void AddWeights(float factor, const float* weights, const float* residual, float* gradient, size_t size);

// g *= scale;  m = momentum m + g;  g = -lr m, with nesterov g = -lr (g + momentum m)
struct MomentumFactors {
  float scale = 1;
  float lr = 0;
  float momentum = 0;
  bool nesterov = false;
};
void MomentumLoop(const MomentumFactors& factors, float* gradient, float* m, size_t size);

struct AdamFactors {
  float beta1 = 0;
  float beta2 = 0;
  float step_size = 0;     // lr with the bias correction of the mean
  float square_scale = 0;  // 1 / bias correction of the root of the mean square
  float epsilon = 0;
};
// The factors of the given step, counted from 1.
AdamFactors AdamFactorsOf(double lr, double beta1, double beta2, double epsilon, uint64_t step);

// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g g;  g = -step_size m / (sqrt(v) square_scale + epsilon)
void AdamLoop(const AdamFactors& factors, float* gradient, float* m, float* v, size_t size);

// A whole step of AdamW in one pass over the arrays: the mean and the square as above, and
// w = keep w - step_size m / (sqrt(v) square_scale + epsilon). `gradient` stays unchanged.
void AdamWLoop(const AdamFactors& factors, float keep, float* weights, const float* gradient, float* m, float* v,
               size_t size);

}  // namespace cddp

#endif  // COMMON_OPTIMIZER_OPTIMIZER_LOOPS_H_
