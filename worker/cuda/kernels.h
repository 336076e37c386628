// The launches of a batch, behind an interface that the host's compiler sees without the kernels' code.

#ifndef WORKER_CUDA_KERNELS_H_
#define WORKER_CUDA_KERNELS_H_

#include <cstdint>

#include "worker/cuda/apply_kernels.h"
#include "worker/cuda/collect_kernels.h"

namespace cddp::device {

// The sizes of a batch's launches, over all its buckets.
struct BatchSize {
  uint32_t longest = 0;          // bucket
  uint32_t most_candidates = 0;  // room for candidates
  uint32_t most_selected = 0;
};

// Destinations of a batch's results in host memory that the device writes: states by slot, and the updates one after
// the other, each at a multiple of 16.
struct Delivery {
  StepState* states = nullptr;
  uint8_t* bytes = nullptr;
};

// Work is queued on the engine's stream. One call at a time; false means a device's error (device_queue.h).
class Kernels {
 public:
  virtual ~Kernels() = default;

  // Compensates, selects and encodes. Slots whose candidates did not suffice deliver no bytes and must be searched.
  virtual bool Encode(const Batch& batch, const Arrays& arrays, const BatchSize& size, const StepInput& input,
                      const ValueCoding& coding, const Delivery& to) = 0;

  // Selects from whole buckets that Encode has compensated, and encodes.
  virtual bool Search(const Batch& batch, const Arrays& arrays, const BatchSize& size, const ValueCoding& coding,
                      const Delivery& to) = 0;

  // *scale = the factor that limits the gradients' norm to `limit`. `tile_sums`: scratch, one sum per tile.
  virtual bool Clip(const float* gradients, uint64_t size, double limit, double* tile_sums, float* scale) = 0;

  // Performs `count` jobs with different targets, all in device memory; `most_blocks` is the largest JobBlocks.
  virtual bool Apply(const UpdateJob* jobs, const uint8_t* bytes, uint32_t count, uint32_t most_blocks) = 0;
};

}  // namespace cddp::device

#endif  // WORKER_CUDA_KERNELS_H_
