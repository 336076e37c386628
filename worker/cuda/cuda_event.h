// Events of a GPU from a pool, because creating one costs more than a whole step may.

#ifndef WORKER_CUDA_CUDA_EVENT_H_
#define WORKER_CUDA_CUDA_EVENT_H_

#include <cuda_runtime_api.h>

#include <memory>

#include "absl/status/statusor.h"

namespace cddp {

// An event without timing, recorded on `stream` of `device`; its last holder returns it to the pool. Any thread. The
// ReadyToken of RecordReady points to it.
absl::StatusOr<std::shared_ptr<const cudaEvent_t>> RecordEvent(int device, cudaStream_t stream);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_EVENT_H_
