// The arrays of an exchange beside a program's own tensors: the published weights, and what is pushed.

#ifndef WORKER_CLIENT_EXCHANGE_ARRAYS_H_
#define WORKER_CLIENT_EXCHANGE_ARRAYS_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "worker/client/tensor_memory.h"

namespace cddp {

// Buffers lie in arrays of their own: the program's drift between two exchanges, and the published ones do not. All
// arrays are in the host's memory, but for weights in place on a GPU. Not thread-safe. Errors are those of copies from
// and to a GPU.
class ExchangeArrays {
 public:
  // `tensors`: as of TensorMemory.
  ExchangeArrays(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory);

  // Do the program's parameters lie in one array?
  bool can_be_in_place() const { return !memory_.parameters_in_place().empty(); }

  // Before the first step: the published weights of the parameters are the program's own memory, or an array here.
  void PublishInPlace() { published_.parameters = memory_.parameters_in_place(); }
  void PublishApart();

  const Elements& published() const { return published_; }
  // What is pushed; gradients of the program's may take the parameters' place. Both stay where they are.
  const Elements& pushed() const { return pushed_; }

  // The published weights become the program's; the program's become the published ones.
  absl::Status TakeProgramsWeights() { return memory_.Gather(published_); }
  absl::Status SetProgramsWeights() { return memory_.Scatter(published_); }

  // To push: a gradient, which is copied (null: zeros); what the forward passes have moved in the buffers; what the
  // program's steps have moved in all tensors, with a gradient's sign. False: a parameter's weight is not finite.
  void MakePushed();  // room for the parameters', which gradients in one array make needless
  absl::Status PushGradient(size_t tensor, const float* gradient);
  absl::Status PushBuffers();
  absl::StatusOr<bool> PushDifferences();

  // Whole arrays of total_elements(), for a state: the published weights, and the program's own.
  absl::StatusOr<std::vector<float>> Published() const;
  absl::Status SetPublished(std::vector<float> weights);  // the program's as well
  absl::StatusOr<std::vector<float>> Own() const;
  absl::Status SetOwn(std::vector<float> weights) { return memory_.Scatter(Split(&weights)); }

 private:
  Elements Split(std::vector<float>* all) const;
  absl::Status PushBuffer(size_t tensor);

  const ParameterLayout layout_;
  const TensorMemory memory_;
  std::vector<float> replica_;
  std::vector<float> published_buffers_;
  std::vector<float> pushed_parameters_;
  std::vector<float> pushed_buffers_;
  Elements published_;
  Elements pushed_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_EXCHANGE_ARRAYS_H_
