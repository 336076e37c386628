// A program's tensors as one parameter space: they need not lie next to each other.

#ifndef WORKER_CLIENT_TENSOR_MEMORY_H_
#define WORKER_CLIENT_TENSOR_MEMORY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

// Where all tensors and gradients of a program lie: in the host's memory, or in a GPU's.
struct ClientMemory {
  bool is_gpu = false;
  int device = 0;          // as CUDA counts them
  void* stream = nullptr;  // the program's cudaStream_t; null: the default stream
};

// A tensor of the program, which owns its elements.
struct ClientTensor {
  TensorSpec spec;
  float* data = nullptr;
};

// Not thread-safe. The tensors outlive it.
class TensorMemory {
 public:
  // One pointer a tensor of the layout.
  TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory);

  // All tensors as one array, if they lie next to each other in the layout's order; else empty.
  absl::Span<float> in_place() const { return in_place_; }

  float* tensor(size_t index) const { return tensors_[index]; }

  // Copies all tensors to or from an array of total_elements() in the host's memory; nothing if they are that array.
  // From and to a GPU it waits for the program's stream; errors of worker/cuda/cuda_memory.h.
  absl::Status Gather(absl::Span<float> to) const;
  absl::Status Scatter(absl::Span<const float> from) const;

  // Likewise the gradient of one tensor, whose place in `to` it is.
  absl::Status GatherOne(size_t tensor, const float* from, absl::Span<float> to) const;

 private:
  const ParameterLayout layout_;
  const ClientMemory memory_;
  const std::vector<float*> tensors_;
  absl::Span<float> in_place_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_TENSOR_MEMORY_H_
