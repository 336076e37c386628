#include "worker/client/client.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"
#include "worker/client/begin_training.h"

namespace cddp {

bool Client::IsOfThisProcess() const { return process_ == getpid(); }

std::string Client::NameOf(size_t tensor) const { return layout_.tensors()[tensor].name; }

absl::Status Client::Require(Phase wanted, absl::string_view call) const {
  if (phase_ == wanted) return absl::OkStatus();
  const char* why = "";
  switch (phase_) {
    case Phase::kJoined:
      why = "this client has only joined: start it, or restore a state, first";
      break;
    case Phase::kStarting:
      why = "the client is being started by another call";
      break;
    case Phase::kBetweenSteps:
      why = wanted == Phase::kInStep ? "no step is under way: begin one first" : "the client has started already";
      break;
    case Phase::kInStep:
      why = "a step is under way: finish it first";
      break;
    case Phase::kFinishing:
      why = "the step is being finished by another call";
      break;
    case Phase::kFailed:
      return absl::FailedPreconditionError(
          absl::StrCat(call, ": this client is over, for an earlier call failed: ", failure_.message(),
                       "; destroy it, and go on from a saved state or as a new client"));
    case Phase::kLeft:
      why = "this client has left the training";
      break;
  }
  return absl::FailedPreconditionError(absl::StrCat(call, ": ", why));
}

absl::Status Client::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  phase_ = Phase::kFailed;
  failure_ = status;
  return status;
}

absl::Status Client::Start() {
  {
    MutexLock lock(mutex_);
    if (absl::Status status = Require(Phase::kJoined, "start"); !status.ok()) return status;
    phase_ = Phase::kStarting;
  }
  absl::Status status = arrays_.TakeProgramsWeights();
  if (status.ok())
    status = TakeFirstWeights(*cluster_, exchange_.get(), arrays_.published().parameters, *options_.rank == 0);
  if (status.ok()) status = SetWeights();
  if (!status.ok()) return Fail(status);
  MutexLock lock(mutex_);
  if (status = BeginRounds(); !status.ok()) return status;
  if (cluster_->version() > 0) {  // as if this worker had made the steps before it
    for (int64_t* counter : counters_) *counter = static_cast<int64_t>(StepsMade());
  }
  return absl::OkStatus();
}

absl::Status Client::SetWeights() {
  return gpu_ == nullptr ? arrays_.SetProgramsWeights() : gpu_->WaitForWeights(where_.stream);
}

void Client::Cancel() {
  MutexLock lock(mutex_);
  if (phase_ == Phase::kStarting || phase_ == Phase::kInStep || phase_ == Phase::kFinishing) exchange_->Cancel();
}

absl::Status Client::Leave(bool finished) {
  bool waits = false;
  {
    MutexLock lock(mutex_);
    waits = finished && phase_ == Phase::kBetweenSteps && under_way_;
    if (waits) {
      phase_ = Phase::kFinishing;
      waits_since_ = MonotonicNow();
    }
  }
  if (waits) {  // else the others would miss this worker's share of it
    if (absl::Status status = TakeAnswer(); !status.ok()) return Fail(status);
    MutexLock lock(mutex_);
    phase_ = Phase::kBetweenSteps;
  }
  {
    MutexLock lock(mutex_);
    if (phase_ == Phase::kLeft) return Require(Phase::kBetweenSteps, "leave");
    if (phase_ == Phase::kStarting || phase_ == Phase::kFinishing || (finished && phase_ == Phase::kInStep)) {
      return Require(Phase::kBetweenSteps, "leave");
    }
    finished = finished && phase_ == Phase::kBetweenSteps;
    phase_ = Phase::kLeft;
    statistics_.retries = cluster_->retries();
  }
  exchange_.reset();  // ends a step that is under way
  cluster_->Leave(finished);
  cluster_.reset();
  claims_.reset();
  return absl::OkStatus();
}

ClientStatistics Client::Statistics() {
  MutexLock lock(mutex_);
  if (phase_ != Phase::kLeft) statistics_.retries = cluster_->retries();
  statistics_.round_steps = statistics_.step == 0 ? 0 : RoundSteps();
  statistics_.under_way = under_way_;
  return statistics_;
}

}  // namespace cddp
