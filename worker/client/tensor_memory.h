// A program's tensors as one parameter space: they need not lie next to each other.

#ifndef WORKER_CLIENT_TENSOR_MEMORY_H_
#define WORKER_CLIENT_TENSOR_MEMORY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

// A tensor of the program, which owns its elements.
struct ClientTensor {
  TensorSpec spec;
  float* data = nullptr;
};

// Not thread-safe. The tensors outlive it.
class TensorMemory {
 public:
  // One pointer a tensor of the layout.
  TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors);

  // All tensors as one array, if they lie next to each other in the layout's order; else empty.
  absl::Span<float> in_place() const { return in_place_; }

  // Copies all tensors to or from an array of total_elements().
  void Gather(absl::Span<float> to) const;
  void Scatter(absl::Span<const float> from) const;

 private:
  const ParameterLayout layout_;
  const std::vector<float*> tensors_;
  absl::Span<float> in_place_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_TENSOR_MEMORY_H_
