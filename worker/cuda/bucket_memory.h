// The engine's device memory: residuals and velocities, for the engine's lifetime, and the plans' arrays.

#ifndef WORKER_CUDA_BUCKET_MEMORY_H_
#define WORKER_CUDA_BUCKET_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/cuda/bucket_plans.h"
#include "worker/cuda/device_queue.h"

namespace cddp {

// Not thread-safe. ResourceExhausted if memory is short; then it must not be used any more.
class BucketMemory {
 public:
  // `queue` must outlive this.
  explicit BucketMemory(device::DeviceQueue* queue) : queue_(*queue) {}
  ~BucketMemory();

  // Allocates residuals of `elements` zeros, and velocities if requested; each twice, since a step that turns out not
  // to be finite must leave them unchanged. `buckets`: of a batch.
  absl::Status Init(uint64_t elements, bool with_velocity, uint32_t buckets);

  // Call it between two steps: allocates the plans' arrays and waits for the device.
  absl::Status SetPlans(const BucketPlans& plans);

  // Allocates more device memory, freed with this object; null if memory is short.
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
