// The position of each bucket in the engine's arrays, and the number of its elements to send.

#ifndef WORKER_CUDA_BUCKET_PLANS_H_
#define WORKER_CUDA_BUCKET_PLANS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/layout/parameter_layout.h"
#include "worker/buckets/gradient_compressor.h"
#include "worker/cuda/bucket_batch.h"

namespace cddp {

// For the buckets of parameters; those of buffers come after them, and are sent unchanged.
struct BucketPlans {
  std::vector<device::BucketPlan> buckets;  // `forced` is null here; forced_at has its position
  std::vector<uint32_t> forced_bits;        // of all buckets with forced elements
  std::vector<size_t> forced_at;            // by bucket, in forced_bits; SIZE_MAX: none is forced
  std::vector<uint32_t> most_selected;      // by bucket
  std::vector<uint32_t> most_bytes;         // by bucket, of an update with 8-bit gaps, padded
  device::ValueCoding coding;
  // Elements of the arrays.
  uint64_t candidates = 0;
  uint64_t selected = 0;
  uint32_t tiles = 0;
  uint32_t counts = 0;
  uint32_t escapes = 0;
};

// For compression with `ratio` instead of options.compressor's. InvalidArgument as BucketCompressor::Create.
absl::StatusOr<BucketPlans> PlanBuckets(const ParameterLayout& layout, const GradientCompressorOptions& options,
                                        double ratio);

// The kernels' coding of values.
device::ValueCoding CodingOf(ValueEncoding encoding);

}  // namespace cddp

#endif  // WORKER_CUDA_BUCKET_PLANS_H_
