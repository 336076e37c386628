// Streams and events of a GPU, for callers without CUDA's headers. A stream is a cudaStream_t as void*; null is the
// legacy default stream. Any thread. Unimplemented in a build without CUDA (CMake option CDDP_CUDA), Unavailable
// without a GPU, Internal for a device's error.

#ifndef WORKER_CUDA_CUDA_STREAM_H_
#define WORKER_CUDA_CUDA_STREAM_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

// OK if there is a GPU and a driver; Unavailable has the reason otherwise.
absl::Status CudaAvailable();

// The number of GPUs, at least 1; errors as CudaAvailable.
absl::StatusOr<int> CudaDeviceCount();

// A token for CudaBuckets: complete once all work given to `stream` until now is done. Cheap (an event from a pool, to
// which the token's last holder returns it); the host does not wait.
absl::StatusOr<ReadyToken> RecordReady(int device, void* stream);

// Waits until all work given to `stream` until now is done.
absl::Status SynchroniseStream(int device, void* stream);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_STREAM_H_
