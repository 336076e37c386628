// The steps of each round and the level of its exchange: from the flags, or decided while the training runs
// (--local_steps=auto, --ratio=auto).

#ifndef WORKER_TRAINER_PACE_H_
#define WORKER_TRAINER_PACE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "worker/exchange/bucket_engine.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/exchange/send_level.h"
#include "worker/model/device.h"
#include "worker/optimizer/local_optimizer.h"
#include "worker/rounds/adaptive_ratio.h"
#include "worker/rounds/agreed_rounds.h"
#include "worker/rounds/agreed_steps.h"
#include "worker/trainer/trainer.h"

namespace cddp {

// Of all the training's steps.
struct StepRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// In this order: Create, ChooseRatio and UseElementsOf, ReadPublished where weights have been taken, Begin; then
// BeginRound, ReadPublished and NoteRound of each round. Not thread-safe.
class Pace {
 public:
  // What is decided otherwise than the flags say, from the coming exchange on.
  struct Changes {
    bool steps = false;
    bool ratio = false;
  };

  // Adds what workers agree on to the model's tensors, behind its buffers.
  static void AddTensors(const TrainerOptions& options, std::vector<TensorSpec>* tensors);

  // `options` must outlive it. Errors of the file that --local_steps=@FILE names; InvalidArgument for a training too
  // long for --local_steps=auto.
  static absl::StatusOr<std::unique_ptr<Pace>> Create(const TrainerOptions& options, uint64_t steps_per_epoch);

  // Whether workers agree on steps (--local_steps=auto or @FILE).
  bool decides_steps() const { return agreed_ != nullptr; }
  bool decides_ratio() const { return adaptive_ratio_ != nullptr; }
  // Of the decisions that are repeated; 0: none are.
  uint32_t steps_crc32c() const { return agreed_ == nullptr ? 0 : agreed_->crc32c(); }

  // Errors of the file of decisions; InvalidArgument if --ratio is no number and the engine knows only one.
  absl::Status ChooseRatio(BucketEngine& engine);

  // The elements that workers agree on lie behind the model's in what is exchanged. They get what the first round
  // makes. Without decides_steps() nothing is done, and `optimizer` may be null; else it must outlive this object.
  absl::Status UseElementsOf(LocalOptimizer* optimizer, const Device& device, size_t model_elements);

  // The coming exchange is `exchange`; those below `counted` may have been made before. See AdaptiveRatio::Begin.
  absl::Status Begin(uint64_t exchange, uint64_t counted);

  // Before an exchange: sets its level, and this worker's values for later rounds.
  absl::Status BeginRound(GradientExchange* exchange);

  // An exchange is finished, or weights have been taken: reads what is published.
  absl::Status ReadPublished();

  // After ReadPublished: the round of `exchange` took so long, and the coming one is `next`. Errors of the files of
  // decisions.
  absl::StatusOr<Changes> NoteRound(uint64_t exchange, uint64_t next, double compute_seconds, double wait_seconds);

  // Steps between two exchanges, of the coming round, where workers agree on them; and what `exchange` sends.
  uint32_t steps() const { return agreed_->now().steps; }
  SendLevel LevelOf(uint64_t exchange) const { return adaptive_ratio_->LevelOf(exchange); }

  // The steps of the round of `exchange`: the coming one; the one after an exchange that is under way; the last one.
  StepRange ComingSteps(uint64_t exchange) const { return StepsOf(exchange, &AgreedRounds::now); }
  StepRange StepsAfterPushed(uint64_t exchange) const { return StepsOf(exchange, &AgreedRounds::pushed); }
  StepRange LastSteps(uint64_t exchange) const { return StepsOf(exchange, &AgreedRounds::before); }

  // Steps that the training has made before `exchange`, the coming one.
  uint64_t StepsBefore(uint64_t exchange) const { return StepsOf(exchange, &AgreedRounds::now).begin; }

 private:
  Pace(const TrainerOptions& options, uint64_t steps_per_epoch)
      : options_(options), steps_per_epoch_(steps_per_epoch) {}

  // `agreed`: which of what workers have agreed on says it, if they do.
  StepRange StepsOf(uint64_t exchange, const AgreedSteps& (AgreedRounds::*agreed)() const) const;
  absl::Span<float> AgreedOf(absl::Span<float> exchanged) const { return exchanged.subspan(model_elements_); }

  const TrainerOptions& options_;
  const uint64_t steps_per_epoch_;
  std::unique_ptr<AdaptiveRatio> adaptive_ratio_;  // null: --ratio is a number
  std::unique_ptr<AgreedRounds> agreed_;           // null: --local_steps is a number; then the rest is not used
  LocalOptimizer* optimizer_ = nullptr;
  Device device_;
  size_t model_elements_ = 0;
  std::vector<float> published_;  // what workers agree on, as published before the coming exchange
};

}  // namespace cddp

#endif  // WORKER_TRAINER_PACE_H_
