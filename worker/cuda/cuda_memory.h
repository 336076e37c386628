// Memory of a GPU, for callers without CUDA's headers. Errors as cuda_stream.h.

#ifndef WORKER_CUDA_CUDA_MEMORY_H_
#define WORKER_CUDA_CUDA_MEMORY_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cddp {

// `bytes` of device memory, aligned for any type and not initialised; freed with the last holder. ResourceExhausted
// if there is less.
absl::StatusOr<std::shared_ptr<void>> AllocateOnDevice(int device, size_t bytes);

// Queue a copy on `stream` and wait until it is done. `to` or `from` is in device memory, as the names say.
absl::Status CopyToDevice(int device, void* stream, void* to, const void* from, size_t bytes);
absl::Status CopyToHost(int device, void* stream, void* to, const void* from, size_t bytes);

// The number of the GPU to whose memory `pointer` points (not managed or pinned host memory). InvalidArgument for other
// memory.
absl::StatusOr<int> DeviceOf(const void* pointer);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_MEMORY_H_
