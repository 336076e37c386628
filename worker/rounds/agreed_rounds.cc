#include "worker/rounds/agreed_rounds.h"

#include <utility>

namespace cddp {

absl::StatusOr<std::unique_ptr<AgreedRounds>> AgreedRounds::Create(const StepsChoice& choice, const std::string& log) {
  absl::StatusOr<std::unique_ptr<AdaptiveSteps>> steps = AdaptiveSteps::Create(choice, log);
  if (!steps.ok()) return steps.status();
  return std::unique_ptr<AgreedRounds>(new AgreedRounds(*std::move(steps)));
}

std::vector<float> AgreedRounds::Next(uint64_t exchange, uint64_t made) {
  made_ = made;
  pushed_ = steps_->Next(exchange, now_, made);
  return WriteSteps(pushed_);
}

void AgreedRounds::ReadPublished(absl::Span<const float> elements) {
  before_ = std::exchange(now_, ReadSteps(elements));
}

absl::StatusOr<bool> AgreedRounds::NoteRound(uint64_t next, double compute_seconds, double wait_seconds,
                                             bool can_send_less) {
  if (made_ == before_.steps) {  // not an epoch's shorter last one
    steps_->NoteRound(before_.steps, compute_seconds, wait_seconds, can_send_less);
  }
  return steps_->NoteDecided(next, now_.steps);
}

}  // namespace cddp
