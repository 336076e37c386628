#include "server/bucket_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/clock/steady_time.h"
#include "common/codec/crc32c.h"

namespace cddp {

absl::StatusOr<std::unique_ptr<BucketState>> BucketState::Create(uint32_t length, const BucketOptions& options) {
  absl::StatusOr<std::unique_ptr<BucketCore>> core = BucketCore::Create(length, options);
  if (!core.ok()) return core.status();
  return std::unique_ptr<BucketState>(new BucketState(*std::move(core)));
}

void BucketState::set_journal(BucketJournal* journal) {
  MutexLock lock(mutex_);
  journal_ = journal;
}

void BucketState::NoteRecovered() {
  MutexLock lock(mutex_);
  core_->NoteRecovered(next_call_);
}

std::optional<RoundTiming> BucketState::Exchange(const Contribution& contribution, ExchangeDone done) {
  // Outside the lock, so that other calls proceed meanwhile.
  std::optional<CheckedUpdate> update;
  if (!contribution.update.empty()) {
    absl::StatusOr<CheckedUpdate> checked = CheckedUpdate::Check(contribution.update.view(), length());
    if (!checked.ok()) {
      done(checked.status());
      return std::nullopt;
    }
    update = *checked;
  }
  Outcome outcome;
  {
    MutexLock lock(mutex_);
    const CallNumber call = next_call_++;
    calls_.emplace(call, std::move(done));
    outcome = Apply(Contribute{contribution, update, call});
  }
  const std::optional<RoundTiming> timing = outcome.timing;
  Release(std::move(outcome));
  return timing;
}

void BucketState::Admit(uint32_t rank) {
  MutexLock lock(mutex_);
  Apply(cddp::Admit{rank});  // it releases no call
}

std::optional<RoundTiming> BucketState::Retire(uint32_t rank) {
  Outcome outcome;
  {
    MutexLock lock(mutex_);
    outcome = Apply(cddp::Retire{rank});
  }
  const std::optional<RoundTiming> timing = outcome.timing;
  Release(std::move(outcome));
  return timing;
}

BucketState::Outcome BucketState::Apply(const BucketInput& input) {
  if (journal_ != nullptr && core_->Changes(input)) journalled_ = Note(input);
  const absl::Time begin = SteadyNow();
  if (!core_->round_is_open()) open_since_ = begin;
  BucketEffects effects = core_->Apply(input);
  Outcome outcome;
  outcome.replies = TakeReplies(std::move(effects.answers));
  const bool rests_on_events =
      effects.closed.has_value() ||
      std::any_of(outcome.replies.begin(), outcome.replies.end(), [](const Reply& reply) { return reply.answer.ok(); });
  if (rests_on_events) outcome.journal = journal_;  // errors need not wait
  outcome.position = journalled_;
  if (effects.closed.has_value()) {
    outcome.timing =
        RoundTiming{begin - open_since_, SteadyNow() - begin, effects.closed->refused, effects.closed->staleness};
    if (!saves_.empty() && core_->ended().ok()) MakeSaves();
  }
  return outcome;
}

uint64_t BucketState::Note(const BucketInput& input) {
  if (const auto* contribute = std::get_if<Contribute>(&input)) return journal_->Counted(contribute->contribution);
  if (const auto* admit = std::get_if<cddp::Admit>(&input)) return journal_->Admitted(admit->rank);
  return journal_->Retired(std::get<cddp::Retire>(input).rank);
}

std::vector<BucketState::Reply> BucketState::TakeReplies(std::vector<BucketEffects::Answer> answers) {
  std::vector<Reply> replies;
  replies.reserve(answers.size());
  for (BucketEffects::Answer& answer : answers) {
    auto call = calls_.extract(answer.call);
    CDDP_CHECK(!call.empty()) << "call " << answer.call << " is answered twice";
    replies.push_back({std::move(call.mapped()), std::move(answer.answer)});
  }
  return replies;
}

void BucketState::Release(Outcome outcome) {
  if (outcome.replies.empty()) return;
  const auto release = [](std::vector<Reply>& all, const absl::Status& status) {
    for (Reply& reply : all) {
      if (!status.ok() && reply.answer.ok()) reply.answer = status;
      reply.done(std::move(reply.answer));
    }
  };
  if (outcome.journal == nullptr) {
    release(outcome.replies, absl::OkStatus());
    return;
  }
  outcome.journal->WhenDurable(outcome.position,
                               [release, all = std::make_shared<std::vector<Reply>>(std::move(outcome.replies))](
                                   const absl::Status& status) { release(*all, status); });
}

void BucketState::Close(const absl::Status& why) {
  std::vector<Reply> replies;
  std::vector<std::pair<uint64_t, TakeState>> saves;
  {
    MutexLock lock(mutex_);
    replies = TakeReplies(core_->End(why).answers);
    saves.swap(saves_);
  }
  for (Reply& reply : replies) reply.done(std::move(reply.answer));
  for (const auto& [version, take] : saves) take(why);
}

uint64_t BucketState::version() const {
  MutexLock lock(mutex_);
  return core_->version();
}

uint64_t BucketState::log_bytes() const {
  MutexLock lock(mutex_);
  return core_->log_bytes();
}

uint64_t BucketState::next_step(uint32_t rank) const {
  MutexLock lock(mutex_);
  return core_->next_step(rank);
}

bool BucketState::is_waiting() const {
  MutexLock lock(mutex_);
  return core_->is_waiting();
}

BucketState::Waiting BucketState::waiting() const {
  MutexLock lock(mutex_);
  if (!core_->round_is_open()) return {};
  return {core_->MissingRanks(), open_since_};
}

std::vector<uint32_t> BucketState::RanksToRetire(absl::Duration patience) {
  MutexLock lock(mutex_);
  std::vector<uint32_t> silent = core_->SilentRanks();
  if (silent.empty() || waits_at_ != core_->version()) waits_since_ = absl::InfiniteFuture();
  if (silent.empty()) return silent;
  waits_at_ = core_->version();
  const absl::Time now = SteadyNow();
  waits_since_ = std::min(waits_since_, now);
  if (now - waits_since_ < patience) silent.clear();
  return silent;
}

PublishedWeights BucketState::Read(uint64_t held) const {
  MutexLock lock(mutex_);
  PublishedWeights read;
  read.version = core_->version();
  read.changes = core_->ChangesSince(held);
  if (!read.changes.has_value()) read.weights.assign(core_->published().begin(), core_->published().end());
  return read;
}

uint32_t BucketState::Checksum(uint32_t crc) const {
  MutexLock lock(mutex_);
  return Crc32c(core_->published().data(), core_->published().size() * sizeof(float), crc);
}

absl::Status BucketState::Save(std::string* state, uint64_t* position) const {
  MutexLock lock(mutex_);
  if (!core_->ended().ok()) return core_->ended();  // and the contributions are gone
  *position = journalled_;
  core_->Save(state);
  return absl::OkStatus();
}

absl::Status BucketState::Load(absl::string_view state) {
  MutexLock lock(mutex_);
  open_since_ = SteadyNow();
  return core_->Load(state);
}

absl::StatusOr<PublishedWeights> BucketState::PublishedOf(absl::string_view state, uint32_t length) {
  ByteReader from(state);
  PublishedWeights published = {0, from.Get<uint64_t>(), std::vector<float>(length)};
  from.GetFloats(absl::MakeSpan(published.weights));
  if (!from.ok()) return absl::DataLossError("holds no weights of that length");
  return published;
}

absl::Status BucketState::SaveAt(uint64_t version, TakeState take) {
  MutexLock lock(mutex_);
  if (!core_->ended().ok()) return core_->ended();
  if (core_->version() > version) {
    return absl::FailedPreconditionError(
        absl::StrCat("it is at version ", core_->version(), " already, past ", version));
  }
  saves_.emplace_back(version, std::move(take));
  MakeSaves();
  return absl::OkStatus();
}

void BucketState::MakeSaves() {
  for (auto save = saves_.begin(); save != saves_.end();) {
    if (save->first > core_->version()) {
      ++save;
      continue;
    }
    std::string state;
    core_->Save(&state);
    // The bucket may have passed several versions at once.
    if (save->first == core_->version()) {
      save->second(std::move(state));
    } else {
      save->second(absl::FailedPreconditionError("the bucket went past that version"));
    }
    save = saves_.erase(save);
  }
}

}  // namespace cddp
