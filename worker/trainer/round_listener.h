// Carries a backward pass's progress to where it is wanted: the worker's optimizer, the exchange.

#ifndef WORKER_TRAINER_ROUND_LISTENER_H_
#define WORKER_TRAINER_ROUND_LISTENER_H_

#include <cmath>
#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/model/training_model.h"
#include "worker/optimizer/worker_optimizer.h"

namespace cddp {

// Not thread-safe; the objects must outlive it. After the pass of a round's last step the exchange is under way, to be
// finished by the caller.
class RoundListener final : public GradientListener {
 public:
  // `optimizer`: null if the servers' optimizer makes the steps, so that gradients are exchanged.
  RoundListener(TrainingModel* model, WorkerOptimizer* optimizer, GradientExchange* exchange)
      : model_(*model), optimizer_(optimizer), exchange_(*exchange) {}

  // Is the coming step a round's last, after which workers exchange?
  void set_exchanges(bool exchanges) { exchanges_ = exchanges; }

  // When the last forward pass was over.
  absl::Time loss_time() const { return loss_time_; }

  void OnLoss(double loss) override {
    loss_time_ = absl::Now();
    const bool is_finite = std::isfinite(loss);
    if (optimizer_ == nullptr) {
      exchange_.Begin(model_.gradients(), model_.weights(), /*refuse=*/!is_finite);
      return;
    }
    optimizer_->Begin(/*skip=*/!is_finite);
    // What the worker's steps have moved is finite in any case.
    if (exchanges_) exchange_.Begin(optimizer_->difference(), optimizer_->replica());
  }

  void OnGradients(uint64_t begin) override {
    if (optimizer_ != nullptr) begin = optimizer_->Step(begin, model_.gradients(), model_.weights(), exchanges_);
    if (exchanges_) exchange_.Ready(begin);
  }

 private:
  TrainingModel& model_;
  WorkerOptimizer* const optimizer_;
  GradientExchange& exchange_;
  bool exchanges_ = true;
  absl::Time loss_time_;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_ROUND_LISTENER_H_
