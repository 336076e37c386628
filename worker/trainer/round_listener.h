// Carries a backward pass's progress to where it is wanted: the local optimizer, the exchange.

#ifndef WORKER_TRAINER_ROUND_LISTENER_H_
#define WORKER_TRAINER_ROUND_LISTENER_H_

#include <cmath>
#include <cstdint>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/model/training_model.h"
#include "worker/trainer/local_steps.h"

namespace cddp {

// Not thread-safe; the objects must outlive it. After the pass of a round's last step the exchange is under way, to be
// finished by the caller.
class RoundListener final : public GradientListener {
 public:
  // `local`: null if every step is exchanged as it is.
  RoundListener(TrainingModel* model, LocalSteps* local, GradientExchange* exchange)
      : model_(*model), local_(local), exchange_(*exchange) {}

  // Is the coming step a round's last, after which workers exchange?
  void set_exchanges(bool exchanges) { exchanges_ = exchanges; }

  // When the last forward pass was over.
  absl::Time loss_time() const { return loss_time_; }

  void OnLoss(double loss) override {
    loss_time_ = absl::Now();
    if (local_ != nullptr) local_->Begin();
    if (!exchanges_) return;
    const absl::Span<const float> gradients = local_ == nullptr ? model_.gradients() : local_->difference();
    exchange_.Begin(gradients, local_ == nullptr ? model_.weights() : local_->replica(),
                    /*refuse=*/!std::isfinite(loss));
  }

  void OnGradients(uint64_t begin) override {
    if (local_ != nullptr) begin = local_->Step(begin, model_.gradients(), model_.weights(), exchanges_);
    if (exchanges_) exchange_.Ready(begin);
  }

 private:
  TrainingModel& model_;
  LocalSteps* const local_;
  GradientExchange& exchange_;
  bool exchanges_ = true;
  absl::Time loss_time_;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_ROUND_LISTENER_H_
