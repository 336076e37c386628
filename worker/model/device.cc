#include "worker/model/device.h"

#include <torch/cuda.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/cuda/cuda_stream.h"

namespace cddp {
namespace {

// The reason why no GPU can be used, and what to do; empty if one can.
std::string Hindrance(const GpusFound& found) {
  if (absl::IsUnimplemented(found.engine)) {
    return "this cddp-worker was built without CUDA: build it where nvcc is (docs/gpu.md)";
  }
  if (!found.engine.ok()) {
    return absl::StrCat("no GPU can be used here (", found.engine.message(), "): look at nvidia-smi");
  }
  if (!found.has_libtorch_cuda) {
    return "this cddp-worker was built with a LibTorch without CUDA: build it with one that has it (docs/gpu.md)";
  }
  return "";
}

}  // namespace

std::string Name(const Device& device) { return device.is_gpu ? absl::StrCat("cuda:", device.gpu) : "cpu"; }

GpusFound FindGpus() {
  GpusFound found;
  const absl::StatusOr<int> count = CudaDeviceCount();
  found.engine = count.status();
  if (!count.ok()) return found;
  found.gpus = *count;
  found.has_libtorch_cuda = torch::cuda::is_available();
  return found;
}

absl::StatusOr<ChosenDevice> ChooseDevice(const DeviceChoice& choice, uint32_t rank, const GpusFound& found) {
  if (choice.kind == DeviceChoice::Kind::kCpu) return ChosenDevice{{}, "--device=cpu"};
  const std::string asked = absl::StrCat("--device=", AbslUnparseFlag(choice));
  const std::string hindrance = Hindrance(found);
  if (choice.kind == DeviceChoice::Kind::kAuto && !hindrance.empty()) {
    return ChosenDevice{{}, absl::StrCat(asked, ", and ", hindrance)};
  }
  if (!hindrance.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(asked, ": ", hindrance, ", or compute with --device=cpu"));
  }
  if (choice.gpu.has_value() && *choice.gpu >= found.gpus) {
    return absl::InvalidArgumentError(absl::StrCat(asked, ": there ", found.gpus == 1 ? "is" : "are", " only ",
                                                   found.gpus, found.gpus == 1 ? " GPU" : " GPUs",
                                                   " here, counted from 0"));
  }
  if (choice.gpu.has_value()) return ChosenDevice{{true, *choice.gpu}, asked};
  return ChosenDevice{{true, static_cast<int>(rank % static_cast<uint32_t>(found.gpus))},
                      absl::StrCat(asked, ", rank ", rank, " of GPUs: ", found.gpus)};
}

absl::Status CopyToHost(const Device& device, absl::Span<const float> from, absl::Span<float> to) {
  CDDP_CHECK(from.size() == to.size()) << from.size() << " elements to " << to.size();
  if (device.is_gpu) {
    return CopyToHost(device.gpu, kModelStream, to.data(), from.data(), from.size() * sizeof(float));
  }
  std::copy(from.begin(), from.end(), to.begin());
  return absl::OkStatus();
}

absl::Status CopyFromHost(const Device& device, absl::Span<const float> from, absl::Span<float> to) {
  CDDP_CHECK(from.size() == to.size()) << from.size() << " elements to " << to.size();
  if (device.is_gpu) {
    return CopyToDevice(device.gpu, kModelStream, to.data(), from.data(), from.size() * sizeof(float));
  }
  std::copy(from.begin(), from.end(), to.begin());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> OnHost(const Device& device, absl::Span<const float> from) {
  std::vector<float> copy(from.size());
  if (absl::Status status = CopyToHost(device, from, absl::MakeSpan(copy)); !status.ok()) return status;
  return copy;
}

}  // namespace cddp
