// A worker's examples in each step: disjoint between workers, reshuffled each epoch, repeatable anywhere.

#ifndef WORKER_DATA_SAMPLER_H_
#define WORKER_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace cddp {

struct SamplerOptions {
  uint64_t examples = 0;
  uint32_t rank = 0;
  uint32_t worker_count = 1;
  uint32_t batch_size = 1;
  uint64_t seed = 42;
  uint32_t stride = 1;  // elements per example, if the examples are windows of one long array
};

// Each epoch all workers make the same permutation from (seed, epoch) alone and worker r takes its positions
// r, r + W, r + 2W, ... With a stride, an example is identified by its first element, and the windows of an epoch
// begin at one of `stride` offsets, which seed and epoch determine. Examples that do not fill a batch at every worker
// are left out: other ones in each epoch. Not thread-safe.
class EpochSampler {
 public:
  // InvalidArgument if the examples do not fill one batch at every worker, a batch is empty, or the rank is not below
  // worker_count.
  static absl::StatusOr<EpochSampler> Create(const SamplerOptions& options);

  // The same at all workers.
  uint64_t steps_per_epoch() const { return steps_; }

  // Call it before Batch. Epochs may be started in any order.
  void StartEpoch(uint64_t epoch);

  // batch_size examples of `step` < steps_per_epoch(); valid until the next StartEpoch.
  absl::Span<const uint32_t> Batch(uint64_t step) const;

 private:
  EpochSampler(const SamplerOptions& options, uint64_t steps) : options_(options), steps_(steps) {}

  SamplerOptions options_;
  uint64_t steps_;
  std::vector<uint32_t> mine_;  // this epoch's examples of this worker, in order
};

}  // namespace cddp

#endif  // WORKER_DATA_SAMPLER_H_
