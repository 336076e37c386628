// A client's rounds: how many steps they make, and exchanges that go on beside them.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"
#include "common/codec/byte_io.h"
#include "common/log/log.h"
#include "worker/client/client.h"
#include "worker/exchange/traffic_scalars.h"

namespace cddp {

uint64_t Client::RoundSteps() const {
  if (rounds_ == nullptr) return options_.local_steps.steps;
  return (awaits_answer() ? rounds_->pushed() : rounds_->now()).steps;
}

uint64_t Client::StepsMade() const {
  return rounds_ != nullptr ? rounds_->now().position : (statistics_.step - 1) * options_.local_steps.steps;
}

bool Client::IsDue() const {
  const uint64_t made = statistics_.local_steps;
  return made >= RoundSteps() || (under_way_ && made >= options_.overlap);
}

absl::Status Client::BeginRounds() {
  phase_ = Phase::kBetweenSteps;
  statistics_.step = exchange_->step();
  round_began_ = MonotonicNow();
  if (rounds_ == nullptr) return absl::OkStatus();
  ReadAgreed();
  return rounds_->Begin(statistics_.step);
}

void Client::ReadAgreed() {
  const absl::Span<float> buffers = arrays_.published().buffers;
  rounds_->ReadPublished(buffers.subspan(buffers.size() - kAgreedElements));
}

void Client::WriteAgreed() {
  if (rounds_ == nullptr) return;
  const std::vector<float> next = rounds_->Next(statistics_.step, statistics_.local_steps);
  std::copy(next.begin(), next.end(), agreed_->begin());
}

absl::Status Client::EndExchange() {
  absl::StatusOr<ReadyToken> token = NoteReady();
  if (!token.ok()) return token.status();
  absl::StatusOr<StepTraffic> traffic = exchange_->Finish(*std::move(token));
  if (!traffic.ok()) return traffic.status();
  std::string decided;
  {
    MutexLock lock(mutex_);
    const absl::StatusOr<bool> changed = NoteExchanged(*traffic);
    if (!changed.ok()) return changed.status();
    if (*changed) decided = absl::StrCat("exchange=", statistics_.step, " steps=", RoundSteps());
  }
  if (!decided.empty()) LogInfo(absl::StrCat("event=local_steps ", decided));
  return absl::OkStatus();
}

absl::StatusOr<bool> Client::NoteExchanged(const StepTraffic& traffic) {
  traffic_ = traffic;
  answered_ = true;
  const absl::Duration now = MonotonicNow();
  statistics_.step = exchange_->step();
  ++statistics_.exchanges;
  statistics_.refused += traffic.refused ? 1 : 0;
  statistics_.missed += traffic.missed;
  statistics_.pushed_bytes += traffic.pushed_bytes;
  statistics_.pulled_bytes += traffic.pulled_bytes;
  statistics_.compress_seconds += traffic.compress_seconds;
  statistics_.wait_seconds += traffic.exchange_seconds;
  statistics_.residual_norm = traffic.residual_norm;
  cluster_->NoteProgress(statistics_.step - 1, input_.loss);
  const absl::Duration compute = waits_since_ - std::exchange(round_began_, now);
  if (rounds_ != nullptr) ReadAgreed();
  NoteTensorboard(traffic);
  if (rounds_ == nullptr) return false;
  return rounds_->NoteRound(statistics_.step, absl::ToDoubleSeconds(compute), absl::ToDoubleSeconds(now - waits_since_),
                            /*can_send_less=*/false);
}

void Client::NoteTensorboard(const StepTraffic& traffic) {
  if (tensorboard_ == nullptr) return;
  const std::optional<double> loss = input_.loss == 0 ? std::nullopt : std::optional(input_.loss);  // 0: not given
  AddTraffic(StepsMade(), loss, traffic, layout_.total_elements(), tensorboard_.get());
}

absl::Status Client::AwaitAnswer() {
  {
    MutexLock lock(mutex_);
    if (!awaits_answer()) return absl::OkStatus();
  }
  return EndExchange();
}

absl::Status Client::TakeAnswer() {
  absl::Status status = AwaitAnswer();
  bool has_moved = false;
  {
    MutexLock lock(mutex_);
    has_moved = statistics_.local_steps > 0;
  }
  // Between two rounds the weights become the published ones, buffers too.
  if (status.ok()) status = has_moved ? arrays_.TakeAnswer() : SetWeights();
  MutexLock lock(mutex_);
  under_way_ = false;
  return status;
}

absl::Status Client::GoAhead() {
  if (absl::Status status = AwaitAnswer(); !status.ok()) return status;
  MutexLock lock(mutex_);
  WriteAgreed();
  const absl::StatusOr<bool> finite = arrays_.NoteMoved();
  if (!finite.ok()) return finite.status();
  if (absl::Status status = arrays_.GoAhead(); !status.ok()) return status;
  exchange_->Begin(arrays_.pushed().parameters, arrays_.published().parameters,
                   /*refuse=*/input_.not_finite || !*finite, input_.weight);
  exchange_->Ready(0);
  under_way_ = true;
  answered_ = false;
  return absl::OkStatus();
}

std::string Client::OverlapState() {
  std::string state;
  ByteWriter to(&state);
  to.Put<uint8_t>(under_way_ ? 1 : 0);
  if (under_way_) to.PutFloats(arrays_.begin());
  return state;
}

absl::Status Client::SetOverlapState(absl::string_view state) {
  ByteReader from(state);
  under_way_ = answered_ = from.Get<uint8_t>() != 0;
  if (under_way_) from.GetFloats(arrays_.begin());
  if (from.ok() && from.left().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("restore: the state's exchange under way is of another model");
}

}  // namespace cddp
