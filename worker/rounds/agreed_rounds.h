// --local_steps=auto at one worker, from exchange to exchange: what it says with each, and what all have decided.

#ifndef WORKER_ROUNDS_AGREED_ROUNDS_H_
#define WORKER_ROUNDS_AGREED_ROUNDS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/config/steps_choice.h"
#include "worker/rounds/adaptive_steps.h"
#include "worker/rounds/agreed_steps.h"

namespace cddp {

// In this order: Create, ReadPublished where weights have been taken, Begin; then Next, ReadPublished and NoteRound of
// each exchange. Elements are kAgreedElements floats, which the caller has averaged among workers as it has a model's
// buffers. Not thread-safe.
class AgreedRounds {
 public:
  // Errors of AdaptiveSteps::Create.
  static absl::StatusOr<std::unique_ptr<AgreedRounds>> Create(const StepsChoice& choice, const std::string& log);

  // Of the decisions that are repeated; 0: none are.
  uint32_t crc32c() const { return steps_->crc32c(); }

  // What is published before the training's first round.
  std::vector<float> FirstElements() const { return WriteSteps(FirstSteps(steps_->first_steps())); }

  // AdaptiveSteps::Begin.
  absl::Status Begin(uint64_t exchange) { return steps_->Begin(exchange, now_.steps); }

  // This worker's elements, to be pushed with `exchange`. `made`: how many steps it made since the last exchange.
  std::vector<float> Next(uint64_t exchange, uint64_t made);

  // What is published: an exchange is finished, or weights have been taken.
  void ReadPublished(absl::Span<const float> elements);

  // After ReadPublished: the round took so long, and `next` is the coming exchange. True if all have decided upon
  // another number of steps. Errors of AdaptiveSteps::NoteDecided.
  absl::StatusOr<bool> NoteRound(uint64_t next, double compute_seconds, double wait_seconds, bool can_send_less);

  // As published before the coming exchange, and before the last one; as pushed with the last one that has begun.
  const AgreedSteps& now() const { return now_; }
  const AgreedSteps& before() const { return before_; }
  const AgreedSteps& pushed() const { return pushed_; }

 private:
  explicit AgreedRounds(std::unique_ptr<AdaptiveSteps> steps) : steps_(std::move(steps)) {}

  const std::unique_ptr<AdaptiveSteps> steps_;
  AgreedSteps now_;
  AgreedSteps before_;
  AgreedSteps pushed_;
  uint64_t made_ = 0;  // in the round of the last exchange that has begun
};

}  // namespace cddp

#endif  // WORKER_ROUNDS_AGREED_ROUNDS_H_
