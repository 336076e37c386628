// --local_steps=auto and --local_steps=@FILE: a worker's wish for later rounds, and the file of the
// decisions.
//
// Decisions are published and the same at all workers (agreed_steps.h), so no restart needs the file. It is written so
// that a run can be repeated: a line "EXCHANGE STEPS" for each change, from that exchange's round on.

#ifndef WORKER_ROUNDS_ADAPTIVE_STEPS_H_
#define WORKER_ROUNDS_ADAPTIVE_STEPS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/steps_choice.h"
#include "worker/rounds/agreed_steps.h"
#include "worker/rounds/steps_control.h"

namespace cddp {

// Not thread-safe.
class AdaptiveSteps {
 public:
  // `choice` is not kFixed. `log`: with kAuto, the file of decisions; empty: none. Errors of the file; InvalidArgument,
  // naming the line, for what is no decision.
  static absl::StatusOr<std::unique_ptr<AdaptiveSteps>> Create(const StepsChoice& choice, const std::string& log);

  // Of the decisions that are repeated; 0 with kAuto.
  uint32_t crc32c() const { return crc32c_; }

  // Of the training's first round.
  uint32_t first_steps() const { return repeats_ ? StepsOf(1) : kFewestLocalSteps; }

  // The coming exchange is `exchange`, whose round makes `steps`. FailedPrecondition if the file to be repeated begins
  // later. Once, before all below; what a log has from there on is forgotten.
  absl::Status Begin(uint64_t exchange, uint32_t steps);

  // The values that this worker pushes with `exchange`, before which it made `made` steps; `now`: those published
  // before it.
  AgreedSteps Next(uint64_t exchange, const AgreedSteps& now, uint64_t made) const;

  // StepsControl::NoteRound.
  void NoteRound(uint32_t steps, double compute_seconds, double wait_seconds, bool can_send_less) {
    control_.NoteRound(steps, compute_seconds, wait_seconds, can_send_less);
  }

  // The round of `exchange` makes `steps`, as published. True if that is a change, which is durable then.
  absl::StatusOr<bool> NoteDecided(uint64_t exchange, uint32_t steps);

 private:
  AdaptiveSteps(bool repeats, std::string path) : repeats_(repeats), path_(std::move(path)) {}

  absl::Status Read();
  // By the decisions, which begin at `exchange` or before.
  uint32_t StepsOf(uint64_t exchange) const { return std::prev(decisions_.upper_bound(exchange))->second; }

  const bool repeats_;
  const std::string path_;
  std::map<uint64_t, uint32_t> decisions_;  // by the exchange from whose round on they hold
  uint32_t crc32c_ = 0;
  StepsControl control_;
  uint32_t told_ = 0;  // steps of the last NoteDecided
};

}  // namespace cddp

#endif  // WORKER_ROUNDS_ADAPTIVE_STEPS_H_
