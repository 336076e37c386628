// Carries a backward pass's progress to where it is wanted: the worker's optimizer, the exchange.

#ifndef WORKER_TRAINER_ROUND_LISTENER_H_
#define WORKER_TRAINER_ROUND_LISTENER_H_

#include <cmath>
#include <cstdint>

#include "absl/time/time.h"
#include "common/clock/steady_time.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_stream.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/model/training_model.h"
#include "worker/optimizer/local_optimizer.h"

namespace cddp {

// Not thread-safe; the objects must outlive it. After the pass of a round's last step the exchange is under way, to be
// finished by the caller.
class RoundListener final : public GradientListener {
 public:
  // `optimizer`: null if the servers' optimizer makes the steps, so that gradients are exchanged. `gpu`: the exchange's
  // engine if the model is on a GPU, else null. `waits_for_loss`: know the loss before the backward pass, also on a
  // GPU.
  RoundListener(TrainingModel* model, LocalOptimizer* optimizer, GradientExchange* exchange, CudaBuckets* gpu,
                bool waits_for_loss)
      : model_(*model), optimizer_(optimizer), exchange_(*exchange), gpu_(gpu), waits_for_loss_(waits_for_loss) {}

  // What the coming step ends with. kDifference: an exchange of all gradients begins with it, or, with an optimizer, of
  // what its steps have moved. kAnswer and kAhead begin as soon as no exchange is under way: a step may pass without.
  void set_along(Along along) { along_ = along; }

  // When the last forward pass was over; on a GPU, queued.
  absl::Time loss_time() const { return loss_time_; }

  // For the exchange's Finish: complete when the last pass is.
  ReadyToken last_token() const { return token_; }

  // Begins the exchange of what an optimizer's NoteMoved has found, at the worker and with overlap. All is complete.
  void ExchangeAll() {
    BeginExchange(optimizer_->difference(), optimizer_->replica(), /*refuse=*/false);
    token_ = Token();
    exchange_.Ready(0, token_);
  }

  void OnLoss(const PassLoss& loss) override {
    loss_time_ = SteadyNow();
    if (exchanges()) token_ = nullptr;
    const float* on_device = loss.on_device();
    if (on_device != nullptr && waits_for_loss_ && SynchroniseStream(model_.device().gpu, kModelStream).ok()) {
      on_device = nullptr;
    }
    const bool is_finite = on_device != nullptr || std::isfinite(loss.Value());
    if (optimizer_ == nullptr) {
      if (on_device != nullptr) gpu_->CheckLoss(on_device);
      BeginExchange(model_.gradients(), model_.weights(), /*refuse=*/!is_finite);
      return;
    }
    optimizer_->Begin(/*skip=*/!is_finite, on_device);
    // What the worker's steps have moved is finite in any case.
    if (exchanges()) BeginExchange(optimizer_->difference(), optimizer_->replica(), /*refuse=*/false);
  }

  void OnGradients(uint64_t begin) override {
    if (optimizer_ != nullptr) begin = optimizer_->Step(begin, model_.gradients(), model_.weights(), AlongNow());
    if (!exchanges()) return;
    token_ = Token();
    exchange_.Ready(begin, token_);
  }

 private:
  bool exchanges() const { return along_ == Along::kDifference; }

  Along AlongNow() {
    if (along_ != Along::kAnswer && along_ != Along::kAhead) return along_;
    return exchange_.WaitFor(absl::ZeroDuration()) ? along_ : Along::kNothing;
  }

  // The buffers are as complete as the forward pass; what lies behind them has been.
  void BeginExchange(absl::Span<float> gradients, absl::Span<float> published, bool refuse) {
    const size_t elements = model_.weights().size();
    model_.WriteBufferDifference(published.first(elements), gradients.first(elements));
    exchange_.Begin(gradients, published, refuse);
    const size_t parameters = elements - model_.buffers().size();
    if (parameters < gradients.size()) exchange_.Ready(parameters, Token());
  }

  // Complete when all is that the model's stream was given until now. None after a device's error, of which the engine
  // will hear as well: it then waits by itself.
  ReadyToken Token() const {
    if (gpu_ == nullptr) return nullptr;
    return RecordReady(model_.device().gpu, kModelStream).value_or(nullptr);
  }

  TrainingModel& model_;
  LocalOptimizer* const optimizer_;
  GradientExchange& exchange_;
  CudaBuckets* const gpu_;
  const bool waits_for_loss_;
  Along along_ = Along::kDifference;
  absl::Time loss_time_;
  ReadyToken token_;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_ROUND_LISTENER_H_
