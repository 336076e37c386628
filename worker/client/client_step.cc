// A client's steps.

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"
#include "worker/client/client.h"
#include "worker/cuda/cuda_stream.h"

namespace cddp {

absl::StatusOr<ReadyToken> Client::NoteReady() const {
  return gpu_ == nullptr ? absl::StatusOr<ReadyToken>(nullptr) : RecordReady(where_.device, where_.stream);
}

absl::Status Client::Begin(const StepInput& input) {
  MutexLock lock(mutex_);
  if (absl::Status status = Require(Phase::kBetweenSteps, "begin"); !status.ok()) return status;
  if (input.weight != 0.0f) {
    if (absl::Status status = CheckWeight(input.weight); !status.ok()) return status;
  }
  if (gpu_ != nullptr && input.gradients == nullptr) {
    return absl::InvalidArgumentError(
        "begin: with tensors that lie in one array on a GPU, gradients must lie in one, too: name it in the step "
        "options");
  }
  has_stepped_ = true;
  waits_since_ = MonotonicNow();
  ending_ = Ending::kExchange;
  if (options_.overlap > 0 && (under_way_ || IsDue())) {
    ending_ = statistics_.local_steps >= RoundSteps() ? Ending::kAhead : Ending::kAnswer;
    input_ = input;
    frontier_ = 0;
    phase_ = Phase::kInStep;
    return absl::OkStatus();
  }
  return BeginExchange(input);
}

absl::Status Client::BeginExchange(const StepInput& input) {
  bool refuse = input.not_finite || (!pushes_weights() && !std::isfinite(input.loss));
  WriteAgreed();
  if (pushes_weights()) {
    const absl::StatusOr<bool> finite = arrays_.PushDifferences();
    if (!finite.ok()) return finite.status();
    refuse = refuse || !*finite;
  } else if (absl::Status status = arrays_.PushBuffers(); !status.ok()) {
    return status;
  }
  phase_ = Phase::kInStep;
  input_ = input;
  input_.not_finite = refuse;
  direct_ = input.gradients != nullptr && !pushes_weights() && (!where_.is_gpu || gpu_ != nullptr);
  if (!direct_ && !pushes_weights()) arrays_.MakePushed();
  const bool all_ready = pushes_weights() || refuse || input.weight == 0.0f;
  for (size_t i = 0; i < ready_.size(); ++i) {
    ready_[i] = all_ready || layout_.tensors()[i].kind != TensorKind::kParameter;
  }
  frontier_ = ready_.size();
  const absl::Span<float> parameters = arrays_.pushed().parameters;
  exchange_->Begin(direct_ ? absl::Span<const float>(input.gradients, layout_.parameter_elements()) : parameters,
                   arrays_.published().parameters, refuse, input.weight);
  Advance(nullptr);
  return absl::OkStatus();
}

void Client::Advance(ReadyToken token) {
  const size_t before = frontier_;
  while (frontier_ > 0 && ready_[frontier_ - 1]) --frontier_;
  if (frontier_ < before) exchange_->Ready(layout_.tensor_range(frontier_).begin, std::move(token));
}

absl::Status Client::Ready(size_t tensor, const float* gradient) {
  MutexLock lock(mutex_);
  if (absl::Status status = Require(Phase::kInStep, "ready"); !status.ok()) return status;
  if (pushes_weights()) {
    return absl::FailedPreconditionError("ready: this client pushes weights (push=weights), which are ready at once");
  }
  if (tensor >= places_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("ready: there is no tensor ", tensor, ": ", places_.size(),
                                                   " were given to join, counted from 0"));
  }
  const size_t place = places_[tensor];
  if (input_.not_finite || input_.weight == 0.0f || place == kNowhere ||
      layout_.tensors()[place].kind != TensorKind::kParameter) {
    return absl::OkStatus();
  }
  if (ready_[place]) {
    return absl::FailedPreconditionError(absl::StrCat("ready: tensor '", NameOf(place), "' was ready already"));
  }
  if (absl::Status status = TakeGradient(place, gradient); !status.ok()) return status;
  absl::StatusOr<ReadyToken> token = NoteReady();
  if (!token.ok()) return token.status();
  ready_[place] = true;
  Advance(*std::move(token));
  return absl::OkStatus();
}

absl::Status Client::TakeGradient(size_t place, const float* gradient) {
  const ElementRange range = layout_.tensor_range(place);
  if (input_.gradients != nullptr) {
    if (gradient != nullptr && gradient != input_.gradients + range.begin) {
      return absl::InvalidArgumentError(absl::StrCat("ready: the gradient of tensor '", NameOf(place),
                                                     "' lies outside the array that the step began with"));
    }
    if (direct_) return absl::OkStatus();
    gradient = input_.gradients + range.begin;
  }
  return arrays_.PushGradient(place, gradient);
}

absl::Status Client::Wait(absl::Duration timeout) {
  {
    MutexLock lock(mutex_);
    if (phase_ != Phase::kBetweenSteps || !under_way_) {
      if (absl::Status status = Require(Phase::kInStep, "wait"); !status.ok()) return status;
    }
  }
  if (exchange_->WaitFor(timeout)) return absl::OkStatus();  // also if it was cancelled, which Finish reports
  return absl::DeadlineExceededError("wait: the step is still under way");
}

absl::StatusOr<StepResult> Client::Finish() {
  Ending ending;
  StepResult result;
  {
    MutexLock lock(mutex_);
    if (absl::Status status = Require(Phase::kInStep, "finish"); !status.ok()) return status;
    if (frontier_ > 0) {
      const auto missing = std::count(ready_.begin(), ready_.end(), false);
      return absl::FailedPreconditionError(absl::StrCat("finish: ", missing, " of ", ready_.size(),
                                                        " tensors are not ready, among them '", NameOf(frontier_ - 1),
                                                        "': tell each, also one without a gradient (null)"));
    }
    phase_ = Phase::kFinishing;
    ending = ending_;
    result.exchanged = ending != Ending::kAhead || under_way_;
  }
  absl::Status status;
  if (ending == Ending::kExchange) {
    status = EndExchange();
    if (status.ok()) status = SetWeights();
  } else {
    status = ending == Ending::kAnswer ? TakeAnswer() : GoAhead();
  }
  if (!status.ok()) return Fail(status);
  MutexLock lock(mutex_);
  phase_ = Phase::kBetweenSteps;
  if (ending != Ending::kAnswer) statistics_.local_steps = 0;
  if (result.exchanged) result.traffic = traffic_;
  result.step = statistics_.step - (result.exchanged ? 1 : 0);
  return result;
}

absl::StatusOr<bool> Client::NoteStep() {
  MutexLock lock(mutex_);
  if (!pushes_weights()) {
    return absl::FailedPreconditionError(
        "step: this client pushes gradients (push=gradients): call begin, ready and finish, or join with "
        "push=weights");
  }
  if (absl::Status status = Require(Phase::kBetweenSteps, "step"); !status.ok()) return status;
  has_stepped_ = true;
  ++statistics_.local_steps;
  return IsDue();
}

absl::StatusOr<StepResult> Client::Step(const StepInput& input) {
  const absl::StatusOr<bool> due = NoteStep();
  if (!due.ok()) return due.status();
  if (!*due) {
    MutexLock lock(mutex_);
    return StepResult{false, statistics_.step, {}};
  }
  if (absl::Status status = Begin(input); !status.ok()) return status;
  return Finish();
}

}  // namespace cddp
