#include "worker/cuda/cuda_buckets.h"

namespace cddp {

absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeCudaBuckets(const ParameterLayout& layout,
                                                             const GradientCompressorOptions& options,
                                                             uint32_t worker_count,
                                                             const CudaBucketsOptions& cuda_options) {
  return absl::UnimplementedError("buckets on a GPU are being built; use --device=cpu");
}

}  // namespace cddp
