// --ratio=auto and --ratio=@FILE: the level of each step, and the file of the decisions.
//
// Decisions depend on times, so no run makes the same ones again by itself. Therefore each is written as a line, "STEP
// RATIO VALUES INDICES" from that step on, before the step begins: a worker restarted from a checkpoint repeats the
// steps that the servers have counted with the same levels, and --ratio=@FILE repeats a run.

#ifndef WORKER_ROUNDS_ADAPTIVE_RATIO_H_
#define WORKER_ROUNDS_ADAPTIVE_RATIO_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/ratio_choice.h"
#include "worker/exchange/send_level.h"
#include "worker/rounds/ratio_control.h"

namespace cddp {

// Not thread-safe.
class AdaptiveRatio {
 public:
  // `choice` is not kFixed. `log`: with kAuto, the file of decisions, which goes on where one is; empty: none.
  // `first_level`: an index of RatioLevels() to begin with. Errors of the file; InvalidArgument, with the line, for an
  // invalid decision.
  static absl::StatusOr<std::unique_ptr<AdaptiveRatio>> Create(const RatioChoice& choice, const std::string& log,
                                                               size_t first_level = RatioControl::kFirstLevel);

  // The coming step is `step`; those from it on and below `counted` may have been made before, and are repeated as the
  // file has them. If there are none, what it has from `step` on is another start's, and is forgotten.
  // FailedPrecondition if it does not know what a step to be repeated sent. Once, before all below.
  absl::Status Begin(uint64_t step, uint64_t counted);

  // The level of `step`. Steps must ascend.
  SendLevel LevelOf(uint64_t step) const;

  // Step `step` took so long (RatioControl::NoteRound). True if the next one sends something else, which is durable
  // then.
  absl::StatusOr<bool> NoteRound(uint64_t step, double compute_seconds, double wait_seconds,
                                 const RatioControl::Limits& limits = {});

  // See RatioControl. Repeated decisions cannot be lowered.
  bool CanSendLess(const RatioControl::Limits& limits) const { return decides_ && control_.CanGoDown(limits); }
  void StartWindow() { control_.StartWindow(); }

 private:
  AdaptiveRatio(bool decides, std::string path, size_t first_level)
      : decides_(decides), path_(std::move(path)), control_(first_level) {}

  absl::Status Read();
  absl::Status Decide(uint64_t step, const SendLevel& level);

  const bool decides_;
  const std::string path_;
  std::map<uint64_t, SendLevel> decisions_;  // by the step from which on they hold
  RatioControl control_;
  uint64_t repeats_until_ = 0;  // steps below it are repeated
};

}  // namespace cddp

#endif  // WORKER_ROUNDS_ADAPTIVE_RATIO_H_
