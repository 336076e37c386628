// The arrays of an exchange besides a program's own tensors: the published weights, and the values to push.

#ifndef WORKER_CLIENT_EXCHANGE_ARRAYS_H_
#define WORKER_CLIENT_EXCHANGE_ARRAYS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "worker/client/tensor_memory.h"

namespace cddp {

// Published buffers have their own arrays, because the program's buffers drift between two exchanges. All arrays are in
// the host's memory, except weights in place on a GPU. Not thread-safe. Errors are those of copies from
// and to a GPU.
class ExchangeArrays {
 public:
  // `tensors`: as of TensorMemory.
  ExchangeArrays(const ParameterLayout& layout, std::vector<float*> tensors, const ClientMemory& memory);

  // Whether the program's parameters lie in one array.
  bool can_be_in_place() const { return !memory_.parameters_in_place().empty(); }

  // Call it before the first step: the program's own memory then holds the parameters' published weights.
  void PublishInPlace() { published_.parameters = memory_.parameters_in_place(); }
  void PublishApart();
  // After PublishApart, for NoteMoved, GoAhead and TakeAnswer below.
  void MakeBegin() { begin_.resize(replica_.size()); }

  const Elements& published() const { return published_; }
  // The values to push; the program's gradients may replace the parameters' part. Neither may move.
  const Elements& pushed() const { return pushed_; }

  // The published weights become the program's; the program's become the published ones.
  absl::Status TakeProgramsWeights() { return memory_.Gather(published_); }
  absl::Status SetProgramsWeights();

  // Set the values to push: a gradient, which is copied (null: zeros); the changes of buffers by forward passes; the
  // changes of all tensors by the program's steps, with a gradient's sign. False: a parameter is not finite.
  void MakePushed();  // allocates the parameters' part, unless the gradients lie in one array
  absl::Status PushGradient(size_t tensor, const float* gradient);
  absl::Status PushBuffers();
  absl::StatusOr<bool> PushDifferences() { return PushMoved(replica_); }

  // Overlapped exchanges (worker/optimizer/moved_weights.h). To push: what the program's steps since the last GoAhead
  // or SetProgramsWeights have moved, as above. Then the program goes on ahead of that exchange; or the answer of one
  // that is finished takes its place beneath the program's steps since. Buffers are the program's own meanwhile.
  absl::StatusOr<bool> NoteMoved() { return PushMoved(begin_); }
  absl::Status GoAhead();
  absl::Status TakeAnswer();

  // Whole arrays of total_elements(), for a state: the published weights, and the program's own.
  absl::StatusOr<std::vector<float>> Published() const;
  absl::Status SetPublished(std::vector<float> weights);  // sets the program's tensors as well
  absl::StatusOr<std::vector<float>> Own() const;
  absl::Status SetOwn(std::vector<float> weights) { return memory_.Scatter(Split(&weights)); }
  // Overlapped, of the parameters: where the steps began that no exchange has begun with.
  absl::Span<float> begin() { return absl::MakeSpan(begin_); }

 private:
  absl::StatusOr<bool> PushMoved(const std::vector<float>& from);
  // `change` is given the place in the arrays above, the program's weights and their number, of each parameter.
  absl::Status ChangeParameters(absl::FunctionRef<void(uint64_t at, float* weights, size_t size)> change);
  Elements Split(std::vector<float>* all) const;
  absl::Status PushBuffer(size_t tensor);

  const ParameterLayout layout_;
  const TensorMemory memory_;
  std::vector<float> replica_;
  std::vector<float> begin_;
  std::vector<float> published_buffers_;
  std::vector<float> pushed_parameters_;
  std::vector<float> pushed_buffers_;
  Elements published_;
  Elements pushed_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_EXCHANGE_ARRAYS_H_
