#include "worker/client/tensor_memory.h"

#include <algorithm>
#include <utility>

#include "worker/cuda/cuda_memory.h"

namespace cddp {

TensorMemory::TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory)
    : layout_(layout), memory_(memory), tensors_(std::move(tensors)) {
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i] != tensors_[i - 1] + layout_.tensor_range(i - 1).size()) return;
  }
  in_place_ = absl::MakeSpan(tensors_.front(), layout_.total_elements());
}

absl::Status TensorMemory::GatherOne(size_t tensor, const float* from, absl::Span<float> to) const {
  const ElementRange range = layout_.tensor_range(tensor);
  float* const place = to.data() + range.begin;
  if (memory_.is_gpu) return CopyToHost(memory_.device, memory_.stream, place, from, range.size() * sizeof(float));
  std::copy_n(from, range.size(), place);
  return absl::OkStatus();
}

absl::Status TensorMemory::Gather(absl::Span<float> to) const {
  if (to.data() == in_place_.data()) return absl::OkStatus();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (absl::Status status = GatherOne(i, tensors_[i], to); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TensorMemory::Scatter(absl::Span<const float> from) const {
  if (from.data() == in_place_.data()) return absl::OkStatus();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const ElementRange range = layout_.tensor_range(i);
    const float* const place = from.data() + range.begin;
    if (memory_.is_gpu) {
      absl::Status status =
          CopyToDevice(memory_.device, memory_.stream, tensors_[i], place, range.size() * sizeof(float));
      if (!status.ok()) return status;
    } else {
      std::copy_n(place, range.size(), tensors_[i]);
    }
  }
  return absl::OkStatus();
}

}  // namespace cddp
