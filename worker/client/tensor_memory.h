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

// Where all tensors and gradients of a program lie: in the host's memory, or in a GPU's.
struct ClientMemory {
  bool is_gpu = false;
  int device = 0;          // as CUDA counts them
  void* stream = nullptr;  // the program's cudaStream_t; null: the default stream
};

// A tensor of the program, which owns its elements.
struct ClientTensor {
  TensorSpec spec;
  float* data = nullptr;       // but of a counter
  int64_t* counter = nullptr;  // of a counter, in the host's memory
};

// One number for each element of the parameter space: of the parameters (or no array, if nobody asks for these), and,
// perhaps elsewhere, of the buffers.
struct Elements {
  uint64_t first_buffer = 0;  // parameter_elements()
  absl::Span<float> parameters;
  absl::Span<float> buffers;

  // Where a tensor's begin.
  float* Of(const ElementRange& tensor) const {
    const bool is_parameter = tensor.begin < first_buffer;
    return is_parameter ? parameters.data() + tensor.begin : buffers.data() + (tensor.begin - first_buffer);
  }
};

// Not thread-safe. The tensors outlive it.
class TensorMemory {
 public:
  // One pointer a tensor of the layout, but for counters.
  TensorMemory(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory);

  // All parameters as one array, if they lie next to each other in the layout's order; else empty.
  absl::Span<float> parameters_in_place() const { return in_place_; }

  size_t size() const { return tensors_.size(); }
  float* tensor(size_t index) const { return tensors_[index]; }
  bool is_gpu() const { return memory_.is_gpu; }

  // Copies all tensors to or from arrays in the host's memory, but for those that lie there. From and to a GPU it waits
  // for the program's stream; errors of worker/cuda/cuda_memory.h.
  absl::Status Gather(const Elements& to) const;
  absl::Status Scatter(const Elements& from) const;

  // Likewise what belongs to one tensor: its own elements, or its gradient's.
  absl::Status GatherOne(size_t tensor, const float* from, float* to) const;

 private:
  absl::Status ScatterOne(size_t tensor, const float* from) const;

  const ParameterLayout layout_;
  const ClientMemory memory_;
  const std::vector<float*> tensors_;
  absl::Span<float> in_place_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_TENSOR_MEMORY_H_
