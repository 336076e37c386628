// Who is told, while a backward pass runs, what is complete, so that gradients leave before it ends.

#ifndef WORKER_MODEL_GRADIENT_LISTENER_H_
#define WORKER_MODEL_GRADIENT_LISTENER_H_

#include <cstdint>

namespace cddp {

// Called from the thread that runs the backward pass, which waits for the calls to return.
class GradientListener {
 public:
  virtual ~GradientListener() = default;

  // The forward pass is over: before the first OnGradients of a step.
  virtual void OnLoss(double loss) = 0;

  // The gradients of all elements from `begin` on are complete, and the pass reads their weights no more. `begin` falls
  // from call to call, down to 0.
  virtual void OnGradients(uint64_t begin) = 0;
};

}  // namespace cddp

#endif  // WORKER_MODEL_GRADIENT_LISTENER_H_
