// Streams and events of a GPU, for callers without CUDA's headers. A stream is a cudaStream_t as void*; null is the
// legacy default stream. Any thread. Unimplemented in a build without CUDA (CMake option CDDP_CUDA), Unavailable
// without a GPU, Internal for a device's error.

#ifndef WORKER_CUDA_CUDA_STREAM_H_
#define WORKER_CUDA_CUDA_STREAM_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

// Is there a GPU and a driver? Unavailable says why not.
absl::Status CudaAvailable();

// How many GPUs there are, at least 1; errors as CudaAvailable.
absl::StatusOr<int> CudaDeviceCount();

// A token for CudaBuckets: complete once all is done that `stream` was given until now. Cheap (an event of a pool,
// which it goes back to with the last holder of the token); the host waits for nothing.
absl::StatusOr<ReadyToken> RecordReady(int device, void* stream);

// Waits until all is done that `stream` was given until now.
absl::Status SynchroniseStream(int device, void* stream);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_STREAM_H_
