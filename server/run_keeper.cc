#include "server/run_keeper.h"

#include "absl/strings/str_cat.h"
#include "common/transport/status_marks.h"

namespace cddp {
namespace {

absl::Status OfAnother(absl::string_view whose, absl::string_view theirs, absl::string_view ours) {
  return absl::InvalidArgumentError(
      absl::StrCat(whose, " is of run ", theirs, ", but this server holds run ", ours,
                   ": name the servers of its run, or let it take part in this one, without --run and with an empty ",
                   "--checkpoint_dir"));
}

}  // namespace

std::string RunKeeper::name() const {
  const std::string* name = name_.load(std::memory_order_acquire);
  return name == nullptr ? "" : *name;
}

void RunKeeper::Set(absl::string_view name) {
  MutexLock lock(mutex_);
  was_set_ = true;
  SetLocked(name);
}

void RunKeeper::SetLocked(absl::string_view name) {
  names_.push_back(std::make_unique<const std::string>(name));
  name_.store(names_.back().get(), std::memory_order_release);
}

absl::Status RunKeeper::CheckCall(absl::string_view run) {
  if (run.empty()) return absl::OkStatus();
  const std::string* name = name_.load(std::memory_order_acquire);
  if (name != nullptr && *name == run) return absl::OkStatus();
  MutexLock lock(mutex_);
  if (name == nullptr) return Lost("the call", run);
  if (!was_set_) lost_ = std::string(run);
  absl::Status wrong = absl::UnavailableError(
      absl::StrCat("the call is of run ", run, ", but this server holds run ", *name,
                   ": does its name lead elsewhere than before, or has another training begun here?"));
  wrong.SetPayload(kWrongServer, absl::Cord());
  return wrong;
}

absl::Status RunKeeper::CallOfLostRun(absl::string_view run) {
  MutexLock lock(mutex_);
  return Lost("the call", run);
}

absl::Status RunKeeper::Lost(absl::string_view whose, absl::string_view run) {
  lost_ = std::string(run);
  return absl::InvalidArgumentError(absl::StrCat(
      whose, " is of run ", run, ", which has begun, but this server holds ",
      name() == run ? "nothing but its name" : "no run", ": it has lost its state. ",
      "Start it with the --state_dir that it had; or, to lose that run and begin anew, with --begin_anew"));
}

absl::StatusOr<bool> RunKeeper::Join(uint32_t rank, const RunIdentity& joiner, bool alone, bool has_begun) {
  const std::string worker = absl::StrCat("worker ", rank);
  MutexLock lock(mutex_);
  const std::string held = name();
  if (!lost_.empty() && !has_begun && !begins_anew_ && joiner.claim != RunClaim::kBegun) {
    return absl::InvalidArgumentError(
        absl::StrCat(worker, " would begin a new run here, but workers of run ", lost_,
                     " have come to this server, which has lost its state: start it with the --state_dir that it had; "
                     "or, to lose that run and begin anew, with --begin_anew"));
  }
  if (!held.empty()) {
    if (joiner.claim == RunClaim::kBegun && joiner.name == held && !has_begun) return Lost(worker, held);
    if (joiner.claim == RunClaim::kAny || joiner.name == held) return false;
    if (joiner.claim == RunClaim::kBegun || !alone || has_begun || was_set_)
      return OfAnother(worker, joiner.name, held);
    SetLocked(joiner.name);
    return true;
  }
  if (joiner.claim == RunClaim::kBegun) return Lost(worker, joiner.name);
  if (joiner.name.empty()) return false;
  SetLocked(joiner.name);
  return true;
}

}  // namespace cddp
