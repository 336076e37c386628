#include "worker/client/tensor_memory.h"

#include <algorithm>
#include <utility>

#include "worker/cuda/cuda_memory.h"

namespace cddp {

TensorMemory::TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory)
    : layout_(layout), memory_(memory), tensors_(std::move(tensors)) {
  const uint64_t parameters = layout_.parameter_elements();
  if (parameters == 0) return;
  for (size_t i = 1; i < tensors_.size() && layout_.tensor_range(i).begin < parameters; ++i) {
    if (tensors_[i] != tensors_[i - 1] + layout_.tensor_range(i - 1).size()) return;
  }
  in_place_ = absl::MakeSpan(tensors_.front(), parameters);
}

absl::Status TensorMemory::GatherOne(size_t tensor, const float* from, float* to) const {
  const uint64_t size = layout_.tensor_range(tensor).size();
  if (from == to) return absl::OkStatus();
  if (memory_.is_gpu) return CopyToHost(memory_.device, memory_.stream, to, from, size * sizeof(float));
  std::copy_n(from, size, to);
  return absl::OkStatus();
}

absl::Status TensorMemory::ScatterOne(size_t tensor, const float* from) const {
  const uint64_t size = layout_.tensor_range(tensor).size();
  float* const to = tensors_[tensor];
  if (from == to) return absl::OkStatus();
  if (memory_.is_gpu) return CopyToDevice(memory_.device, memory_.stream, to, from, size * sizeof(float));
  std::copy_n(from, size, to);
  return absl::OkStatus();
}

absl::Status TensorMemory::Gather(const Elements& to) const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (absl::Status status = GatherOne(i, tensors_[i], to.Of(layout_.tensor_range(i))); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TensorMemory::Scatter(const Elements& from) const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (absl::Status status = ScatterOne(i, from.Of(layout_.tensor_range(i))); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace cddp
