// Momentum correction and local gradient clipping (Lin et al. 2018, "Deep Gradient Compression", sections 3.1 and 3.2),
// for one bucket, before its BucketCompressor.
//
// With plain momentum at the server, what an element accumulates in the residual for many steps misses the momentum it
// would have had. So each worker keeps a velocity of its own, velocity = momentum * velocity + gradient, feeds that to
// the compressor in the gradient's place, and forgets it where it was sent ("momentum factor masking"):
//
//   velocity = correction.Accumulate(gradient, scale)
//   compressor.Compress(velocity, residual, &update)
//   correction.ClearSent(update)
//
// The server then uses no momentum. The results are the same on every processor.

#ifndef COMMON_COMPRESS_MOMENTUM_CORRECTION_H_
#define COMMON_COMPRESS_MOMENTUM_CORRECTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cddp {

// Sum of squares of a worker's gradient, for ClipScale, in double: for each 4096 elements, those 256 apart are summed
// in order, and the 256 sums added by halving (the first to the 129th, ...); the results of all 4096s likewise. So a
// GPU finds the same bits. Any thread.
double SumOfSquares(absl::Span<const float> values);

// By what a worker's gradient is multiplied so that its norm is at most norm_limit / sqrt(workers), and the norm of the
// sum over workers about at most norm_limit; 1 if it is smaller already. `sum_sq`: of the worker's whole gradient.
float ClipScale(double sum_sq, double norm_limit, int workers);

// One call at a time; different buckets' are independent.
class MomentumCorrection {
 public:
  // `momentum` in [0, 1).
  MomentumCorrection(uint32_t length, float momentum) : momentum_(momentum), velocity_(length) {}

  // velocity = momentum * velocity + scale * gradient (length elements each), at most the largest float in magnitude;
  // returns the velocity. InvalidArgument, and the velocity is as before, if gradient or scale is not finite.
  absl::StatusOr<absl::Span<const float>> Accumulate(absl::Span<const float> gradient, float scale);

  // Sets the velocity to zero at what an update of this bucket sends.
  absl::Status ClearSent(absl::string_view update);

  // To be saved with the residual, and restored.
  absl::Span<float> velocity() { return absl::MakeSpan(velocity_); }
  absl::Span<const float> velocity() const { return velocity_; }

 private:
  const float momentum_;
  std::vector<float> velocity_;
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_MOMENTUM_CORRECTION_H_
