// Who is told, while a backward pass runs, what is complete, so that gradients leave before it ends.

#ifndef WORKER_MODEL_GRADIENT_LISTENER_H_
#define WORKER_MODEL_GRADIENT_LISTENER_H_

#include <cstdint>
#include <memory>
#include <utility>

namespace cddp {

// The mean loss of a forward pass. On a GPU it is on its way to the host, so that nobody has to wait for it before the
// backward pass.
class PassLoss {
 public:
  PassLoss(double value) : value_(value) {}  // NOLINT(google-explicit-constructor): it is one
  // `arriving`: the host's memory that it is copied to, after the forward pass on the model's stream.
  PassLoss(std::shared_ptr<const float> arriving, const float* on_device)
      : arriving_(std::move(arriving)), on_device_(on_device) {}

  // On a GPU: once anything is known to be complete that the model's stream was given after the forward pass, such as
  // one gradient.
  double Value() const { return arriving_ == nullptr ? value_ : *static_cast<const volatile float*>(arriving_.get()); }

  // On a GPU: where it lies there until the next forward pass. Null: Value() is known.
  const float* on_device() const { return on_device_; }

 private:
  double value_ = 0;
  std::shared_ptr<const float> arriving_;
  const float* on_device_ = nullptr;
};

// Called from the thread that runs the backward pass, which waits for the calls to return: OnLoss from the one that
// called ForwardBackward, OnGradients on a GPU from one of LibTorch's.
class GradientListener {
 public:
  virtual ~GradientListener() = default;

  // The forward pass is over: before the first OnGradients of a step.
  virtual void OnLoss(const PassLoss& loss) = 0;

  // The gradients of all elements from `begin` on are complete, and the pass reads their weights no more; on a GPU,
  // once all is done that the model's stream was given until now. `begin` falls from call to call, down to 0.
  virtual void OnGradients(uint64_t begin) = 0;
};

}  // namespace cddp

#endif  // WORKER_MODEL_GRADIENT_LISTENER_H_
