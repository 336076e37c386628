#include "worker/cuda/cuda_event.h"

#include <map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/sync/mutex.h"
#include "worker/cuda/cuda_error.h"

namespace cddp {
namespace {

class EventPool {
 public:
  // Takes an event without a holder.
  absl::StatusOr<cudaEvent_t*> Take(int device) {
    {
      MutexLock lock(mutex_);
      std::vector<cudaEvent_t*>& events = free_[device];
      if (!events.empty()) {
        cudaEvent_t* const event = events.back();
        events.pop_back();
        return event;
      }
    }
    auto event = std::make_unique<cudaEvent_t>();
    absl::Status status = CudaStatus(cudaEventCreateWithFlags(event.get(), cudaEventDisableTiming), "a new event");
    if (!status.ok()) return status;
    return event.release();
  }

  void GiveBack(int device, cudaEvent_t* event) {
    MutexLock lock(mutex_);
    free_[device].push_back(event);
  }

 private:
  Mutex mutex_;
  std::map<int, std::vector<cudaEvent_t*>> free_ ABSL_GUARDED_BY(mutex_);
};

// Never destroyed: tokens may outlive everything else.
EventPool& Pool() {
  static auto& pool = *new EventPool;
  return pool;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const cudaEvent_t>> RecordEvent(int device, cudaStream_t stream) {
  const OnDevice on_device(device);
  if (!on_device.status().ok()) return on_device.status();
  absl::StatusOr<cudaEvent_t*> event = Pool().Take(device);
  if (!event.ok()) return event.status();
  std::shared_ptr<const cudaEvent_t> held(*event, [device](cudaEvent_t* of) { Pool().GiveBack(device, of); });
  if (absl::Status status = CudaStatus(cudaEventRecord(*held, stream), "recording an event"); !status.ok()) {
    return status;
  }
  return held;
}

}  // namespace cddp
