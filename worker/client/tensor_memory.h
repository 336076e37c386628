// A program's tensors as one parameter space: they need not lie next to each other.

#ifndef WORKER_CLIENT_TENSOR_MEMORY_H_
#define WORKER_CLIENT_TENSOR_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"

namespace cddp {

// The memory that holds all tensors and gradients of a program: the host's, or a GPU's.
struct ClientMemory {
  bool is_gpu = false;
  int device = 0;          // CUDA's number of the GPU
  void* stream = nullptr;  // the program's cudaStream_t; null: the default stream
};

// A tensor of the program, which owns its elements.
struct ClientTensor {
  TensorSpec spec;
  float* data = nullptr;       // null for a counter
  int64_t* counter = nullptr;  // for a counter, in the host's memory
};

// One number for each element of the parameter space: for the parameters (no array if unused) and, possibly in another
// place, for the buffers.
struct Elements {
  uint64_t first_buffer = 0;  // parameter_elements()
  absl::Span<float> parameters;
  absl::Span<float> buffers;

  // The first element of a tensor.
  float* Of(const ElementRange& tensor) const {
    const bool is_parameter = tensor.begin < first_buffer;
    return is_parameter ? parameters.data() + tensor.begin : buffers.data() + (tensor.begin - first_buffer);
  }
};

// Not thread-safe. The tensors must outlive it.
class TensorMemory {
 public:
  // One pointer for each tensor of the layout, except counters.
  TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory);

  // All parameters as one array, if they lie next to each other in the layout's order; else empty.
  absl::Span<float> parameters_in_place() const { return in_place_; }

  size_t size() const { return tensors_.size(); }
  float* tensor(size_t index) const { return tensors_[index]; }
  bool is_gpu() const { return memory_.is_gpu; }

  // Copies all tensors to or from arrays in the host's memory, except tensors that lie in these arrays. From and to a
  // GPU it waits for the program's stream; errors of worker/cuda/cuda_memory.h.
  absl::Status Gather(const Elements& to) const;
  absl::Status Scatter(const Elements& from) const;

  // The same for one tensor: its elements, or its gradient's.
  absl::Status GatherOne(size_t tensor, const float* from, float* to) const;
  absl::Status ScatterOne(size_t tensor, const float* from) const;

 private:
  const ParameterLayout layout_;
  const ClientMemory memory_;
  const std::vector<float*> tensors_;
  absl::Span<float> in_place_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_TENSOR_MEMORY_H_
