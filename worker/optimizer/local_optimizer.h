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

// What is done along with a step for each part that it steps, while the part lies in the processor's cache: passes over
// whole arrays of a large model cost as much as its optimizer.
enum class Along {
  kNothing,
  kDifference,  // notes what the steps since the last exchange have moved: an exchange begins with this step
  kAnswer,      // TakeAnswer: the exchange that was under way is finished
  kAhead,       // NoteMoved and GoAhead: no exchange is under way
};

// Spans of gradients and weights have as many elements as the model and lie in its kind of memory, unless it says the
// host's; behind the parameters lie the buffers, which no step touches. What is exchanged may have more behind them,
// which are the caller's to read and write (common/layout/agreed_tensor.h). A step is made part by part, as the
// backward pass completes the gradients, last first; with clipping, at once when all are complete. A part whose
// gradient is not finite, and all before it, are left out of the step: neither weights nor the optimizer's state ever
// hold a NaN. Not thread-safe.
class LocalOptimizer {
 public:
  virtual ~LocalOptimizer() = default;

  // The training had made so many steps when it was joined: the learning rate goes on from there. For one that is new.
  virtual void SetStepsBefore(uint64_t steps) = 0;

  // Begins a step. `skip`: the loss is not finite, so the step changes nothing. `loss`: where it lies on a GPU, if the
  // host does not know it yet; null: `skip` says all.
  virtual void Begin(bool skip, const float* loss) = 0;

  // Gradients from `ready` on are complete: steps the parts that lie there, and no part twice in a step. Returns where
  // the parts that are done begin; all are after a call with 0. On a GPU all of this is queued on the model's stream.
  //
  // kAnswer and kAhead may come with a step's later calls only, and an optimizer may do nothing for them: the functions
  // that they name must follow the step in any case, and do what is left.
  virtual uint64_t Step(uint64_t ready, absl::Span<const float> gradients, absl::Span<float> weights, Along along) = 0;

  // Of how many steps since the last call was a part left out? On a GPU to be asked when something is known to be
  // complete that the model's stream was given after the last Step.
  virtual uint64_t TakeSkipped() = 0;

  // Published weights minus weights: what the steps have moved, with a gradient's sign. What lies behind the parameters
  // is the caller's to write.
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
