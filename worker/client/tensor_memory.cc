#include "worker/client/tensor_memory.h"

#include <algorithm>
#include <utility>

namespace cddp {

TensorMemory::TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors)
    : layout_(layout), tensors_(std::move(tensors)) {
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i] != tensors_[i - 1] + layout_.tensor_range(i - 1).size()) return;
  }
  in_place_ = absl::MakeSpan(tensors_.front(), layout_.total_elements());
}

void TensorMemory::Gather(absl::Span<float> to) const {
  if (to.data() == in_place_.data()) return;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const ElementRange range = layout_.tensor_range(i);
    std::copy_n(tensors_[i], range.size(), to.begin() + static_cast<std::ptrdiff_t>(range.begin));
  }
}

void TensorMemory::Scatter(absl::Span<const float> from) const {
  if (from.data() == in_place_.data()) return;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const ElementRange range = layout_.tensor_range(i);
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(range.begin), range.size(), tensors_[i]);
  }
}

}  // namespace cddp
