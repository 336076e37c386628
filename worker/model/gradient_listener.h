// The interface that is notified of complete gradients during a backward pass, so that they can be sent before it ends.

#ifndef WORKER_MODEL_GRADIENT_LISTENER_H_
#define WORKER_MODEL_GRADIENT_LISTENER_H_

#include <cstdint>
#include <memory>
#include <utility>

namespace cddp {

// The mean loss of a forward pass. On a GPU it is copied to the host asynchronously, so that the backward pass need not
// wait for it.
class PassLoss {
 public:
  PassLoss(double value) : value_(value) {}  // NOLINT(google-explicit-constructor): it is one
  // `arriving`: the host's memory that it is copied to, after the forward pass on the model's stream.
  PassLoss(std::shared_ptr<const float> arriving, const float* on_device)
      : arriving_(std::move(arriving)), on_device_(on_device) {}

  // On a GPU call it only once any work given to the model's stream after the forward pass is known to be complete,
  // such as one gradient.
  double Value() const { return arriving_ == nullptr ? value_ : *static_cast<const volatile float*>(arriving_.get()); }

  // On a GPU: where it lies there until the next forward pass. Null: Value() is known.
  const float* on_device() const { return on_device_; }

 private:
  double value_ = 0;
  std::shared_ptr<const float> arriving_;
  const float* on_device_ = nullptr;
};

// Called from the thread that runs the backward pass, which waits until the call returns: OnLoss from the caller of
// ForwardBackward, OnGradients on a GPU from one of LibTorch's threads.
class GradientListener {
 public:
  virtual ~GradientListener() = default;

  // The forward pass is over: before the first OnGradients of a step.
  virtual void OnLoss(const PassLoss& loss) = 0;

  // The gradients of all elements from `begin` on are complete, and the pass no longer reads their weights; on a GPU,
  // once all work given to the model's stream until now is done. `begin` falls from call to call, down to 0.
  virtual void OnGradients(uint64_t begin) = 0;
};

}  // namespace cddp

#endif  // WORKER_MODEL_GRADIENT_LISTENER_H_
