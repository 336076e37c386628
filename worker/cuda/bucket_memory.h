// The engine's device memory: residuals and velocities, which live as long as it does, and what the plans need.

#ifndef WORKER_CUDA_BUCKET_MEMORY_H_
#define WORKER_CUDA_BUCKET_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/cuda/bucket_plans.h"
#include "worker/cuda/device_queue.h"

namespace cddp {

// Not thread-safe. ResourceExhausted without memory, after which it must not be used.
class BucketMemory {
 public:
  // `queue` must outlive this.
  explicit BucketMemory(device::DeviceQueue* queue) : queue_(*queue) {}
  ~BucketMemory();

  // Residuals of `elements` zeros, and velocities if wanted; each twice, since a step that turns out not to be finite
  // must leave them as they were. `buckets`: of a batch.
  absl::Status Init(uint64_t elements, bool with_velocity, uint32_t buckets);

  // Between two steps: what the plans' kernels need; waits for the device.
  absl::Status SetPlans(const BucketPlans& plans);

  // More device memory, freed with this; null without.
  void* Allocate(size_t bytes);

  const device::Arrays& arrays() const { return arrays_; }

 private:
  template <typename T>
  bool Array(uint64_t size, T** array, std::vector<void*>* owner);
  bool Copy(void* to, const void* from, size_t bytes);

  device::DeviceQueue& queue_;
  device::Arrays arrays_;
  std::vector<void*> lasting_;
  std::vector<void*> of_plans_;
};

}  // namespace cddp

#endif  // WORKER_CUDA_BUCKET_MEMORY_H_
