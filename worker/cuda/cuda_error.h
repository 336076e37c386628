// CUDA's errors as absl::Status. For .cc files that call CUDA's runtime.

#ifndef WORKER_CUDA_CUDA_ERROR_H_
#define WORKER_CUDA_CUDA_ERROR_H_

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cddp {

// Ok for cudaSuccess. ResourceExhausted if memory is short, Unavailable without a GPU or driver, Internal for all
// others. `what`: the operation, for the message.
inline absl::Status CudaStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat("CUDA, ", what, ": ", cudaGetErrorString(error));
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::ResourceExhaustedError(message);
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

// Makes a device the calling thread's current one, and restores the previous one on destruction.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = device;
    status_ = CudaStatus(cudaSetDevice(device), absl::StrCat("device ", device));
  }
  ~OnDevice() { cudaSetDevice(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  const absl::Status& status() const { return status_; }

 private:
  int before_ = 0;
  absl::Status status_;
};

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_ERROR_H_
