// What cuda_pipeline.cc needs of the file that nvcc compiles. No absl and no CUDA here, so that each compiler sees only
// its own headers.

#ifndef WORKER_CUDA_CUDA_DEVICE_H_
#define WORKER_CUDA_CUDA_DEVICE_H_

#include <memory>
#include <string>

#include "worker/cuda/device_pipeline.h"

namespace cddp::device {

// Null with the reason in *error.
std::unique_ptr<DevicePipeline> MakeCudaPipeline(const PipelineOptions& options, std::string* error);

}  // namespace cddp::device

#endif  // WORKER_CUDA_CUDA_DEVICE_H_
