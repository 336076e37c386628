// An optimizer of the worker's own, as the training loop sees it: on the host (worker_optimizer.h) or where a GPU's
// arrays are (worker/model/tensor_optimizer.h).

#ifndef WORKER_OPTIMIZER_LOCAL_OPTIMIZER_H_
#define WORKER_OPTIMIZER_LOCAL_OPTIMIZER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cddp {

// Additional work of a step for each of its parts, while the part is in the processor's cache: separate passes over the
// arrays of a large model would cost as much as its optimizer.
enum class Along {
  kNothing,
  kDifference,  // notes what the steps since the last exchange have moved: an exchange begins with this step
  kAnswer,      // TakeAnswer: the exchange that was under way is finished
  kAhead,       // NoteMoved and GoAhead: no exchange is under way
};

// Spans of gradients and weights have the model's number of elements and lie in its kind of memory, unless a comment
// says the host's. The buffers follow the parameters; no step touches them. Exchanged arrays may have further elements,
// which only the caller reads and writes (common/layout/agreed_tensor.h). A step is made part by part, as the
// backward pass completes the gradients, last first; with clipping, at once when all are complete. A part whose
// gradient is not finite, and all before it, are left out of the step: neither weights nor the optimizer's state ever
// hold a NaN. Not thread-safe.
class LocalOptimizer {
 public:
  virtual ~LocalOptimizer() = default;

  // Sets the training's number of steps when this worker joined, from which the learning rate continues. For a new one.
  virtual void SetStepsBefore(uint64_t steps) = 0;

  // Begins a step. `skip`: the loss is not finite, so the step changes nothing. `loss`: where it lies on a GPU, if the
  // host does not know it yet; null: `skip` says all.
  virtual void Begin(bool skip, const float* loss) = 0;

  // Gradients from `ready` on are complete: steps the parts from there on, each part once per step. Returns the
  // beginning of the parts that are done; after a call with 0 all are. On a GPU all of this is queued on the model's
  // stream.
  //
  // kAnswer and kAhead may come with a step's later calls only, and an optimizer may do nothing for them: the functions
  // that they name must follow the step in any case, and do what is left.
  virtual uint64_t Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights, Along along) = 0;

  // The number of steps since the last call of which a part was left out. On a GPU call it only once some work given to
  // the model's stream after the last Step is known to be complete.
  virtual uint64_t TakeSkipped() = 0;

  // Published weights minus weights: the changes by the steps, with a gradient's sign. The caller writes the elements
  // after the parameters.
  virtual absl::Span<float> difference() = 0;

  // The published weights; the exchange adds its replies here.
  virtual absl::Span<float> replica() = 0;

  // After an exchange: the weights become the published ones.
  virtual absl::Status TakePublished(absl::Span<float> weights) = 0;

  // Overlapped exchanges (WorkerOptimizerOptions::overlaps). difference() becomes by how much the steps since the last
  // GoAhead or TakePublished have moved the weights, with a gradient's sign; no exchange of it is under way.
  virtual absl::Status NoteMoved(absl::Span<const float> weights) = 0;

  // The weights become the published ones and what this worker's own steps have moved, difference(), whose exchange
  // begins: the others' arrives later. What is not finite of it, which no server will take, is left out. The next steps
  // begin there.
  virtual absl::Status GoAhead(absl::Span<float> weights) = 0;

  // That exchange is finished: the weights become the published ones and what the steps since GoAhead have moved, so
  // that the answer takes the place of what its own had moved.
  virtual absl::Status TakeAnswer(absl::Span<float> weights) = 0;

  // Sets all of replica() from the host's memory.
  virtual absl::Status SetReplica(absl::Span<const float> weights) = 0;

  // The optimizer's state, for a checkpoint after an exchange: the same bytes on all devices. SetState: InvalidArgument
  // if it is of another one.
  virtual absl::StatusOr<std::string> SaveState() const = 0;
  virtual absl::Status SetState(absl::string_view state) = 0;
};

}  // namespace cddp

#endif  // WORKER_OPTIMIZER_LOCAL_OPTIMIZER_H_
