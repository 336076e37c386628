// Momentum correction and local gradient clipping (Lin et al. 2018, "Deep Gradient Compression", sections 3.1 and 3.2),
// for one bucket, before its BucketCompressor.
//
// With plain momentum at the server, an element that waits in the residual for many steps misses the momentum it would
// have had. So each worker keeps a velocity, velocity = momentum * velocity + gradient, feeds that to the compressor
// instead of the gradient, and clears it where it was sent ("momentum factor masking"):
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
// in order, and the 256 sums added by halving (the first to the 129th, ...); the results of all 4096s in the same way.
// So a GPU gets the same bits. Any thread.
double SumOfSquares(absl::Span<const float> values);

// The factor for a worker's gradient that limits its norm to norm_limit / sqrt(workers), and so the norm of the sum
// over workers to about norm_limit; 1 if the norm is smaller already. `sum_sq`: of the worker's whole gradient.
float ClipScale(double sum_sq, double norm_limit, int workers);

// One call at a time; objects of different buckets are independent.
class MomentumCorrection {
 public:
  // `momentum` in [0, 1).
  MomentumCorrection(uint32_t length, float momentum) : momentum_(momentum), velocity_(length) {}

  // velocity = momentum * velocity + scale * gradient (length elements each), at most the largest float in magnitude;
  // returns the velocity. InvalidArgument, with the velocity unchanged, if gradient or scale is not finite.
  absl::StatusOr<absl::Span<const float>> Accumulate(absl::Span<const float> gradient, float scale);

  // Sets the velocity to zero at the elements that an update of this bucket sends.
  absl::Status ClearSent(absl::string_view update);

  // Save and restore it with the residual.
  absl::Span<float> velocity() { return absl::MakeSpan(velocity_); }
  absl::Span<const float> velocity() const { return velocity_; }

 private:
  const float momentum_;
  std::vector<float> velocity_;
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_MOMENTUM_CORRECTION_H_
