// The device of a model's arrays and passes: the host's processors, or one of its NVIDIA GPUs.

#ifndef WORKER_MODEL_DEVICE_H_
#define WORKER_MODEL_DEVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/config/device_choice.h"

namespace cddp {

struct Device {
  bool is_gpu = false;
  int gpu = 0;  // CUDA's number

  friend bool operator==(const Device&, const Device&) = default;
};

// "cpu", "cuda:0".
std::string Name(const Device& device);

// The stream on which a model's passes run, a cudaStream_t: LibTorch's default stream, which is CUDA's legacy one.
inline constexpr void* kModelStream = nullptr;

// The GPUs that a process finds.
struct GpusFound {
  absl::Status engine;  // of worker/cuda: Unimplemented: built without CUDA; Unavailable: no GPU, or no driver
  int gpus = 0;         // if that is OK
  bool has_libtorch_cuda = true;  // whether this LibTorch can use them
};
GpusFound FindGpus();

struct ChosenDevice {
  Device device;
  std::string reason;  // for the log: why this device was chosen
};

// The device that --device selects for the worker with this rank: workers share GPUs by rank modulo their number.
// InvalidArgument, with the reason and what to do, if a GPU is requested that cannot be used.
absl::StatusOr<ChosenDevice> ChooseDevice(const DeviceChoice& choice, uint32_t rank, const GpusFound& found);

// Call it between two steps: waits for all work given to the model's stream. The spans have equal lengths; `from` is in
// the device's memory, `to` in the host's.
absl::Status CopyToHost(const Device& device, absl::Span<const float> from, absl::Span<float> to);
absl::Status CopyFromHost(const Device& device, absl::Span<const float> from, absl::Span<float> to);

// The same into a new vector.
absl::StatusOr<std::vector<float>> OnHost(const Device& device, absl::Span<const float> from);

}  // namespace cddp

#endif  // WORKER_MODEL_DEVICE_H_
