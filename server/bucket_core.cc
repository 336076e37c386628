#include "server/bucket_core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check/check.h"
#include "common/codec/crc32c.h"
#include "common/codec/update_codec.h"
#include "common/transport/exchange_message.h"
#include "common/transport/protocol.h"

namespace cddp {
namespace {

CompressorOptions PublishOptions(const BucketOptions& options) {
  CompressorOptions publish = options.publish;
  if (options.consistency.mode != Consistency::kSync && publish.ratio < 1) publish.ratio /= options.worker_count;
  return publish;
}

// The weight of a contribution; 0: the worker's usual weight.
float WeightOf(const Contribution& contribution) {
  return contribution.weight.value_or(contribution.update.empty() ? 0.0f : 1.0f);
}

size_t BytesOf(const std::vector<SharedBytes>& runs) {
  size_t bytes = 0;
  for (const SharedBytes& run : runs) bytes += run.size();
  return bytes;
}

}  // namespace

size_t ExchangeAnswer::bytes() const { return BytesOf(updates); }

absl::StatusOr<std::unique_ptr<BucketCore>> BucketCore::Create(uint32_t length, const BucketOptions& options) {
  absl::StatusOr<std::unique_ptr<BucketWeights>> weights =
      BucketWeights::Create(length, options.optimizer, PublishOptions(options));
  if (!weights.ok()) return weights.status();
  return std::unique_ptr<BucketCore>(new BucketCore(length, options, *std::move(weights)));
}

BucketCore::BucketCore(uint32_t length, const BucketOptions& options, std::unique_ptr<BucketWeights> weights)
    : length_(length),
      options_(options),
      weights_(std::move(weights)),
      // A longer log is no better than the weights themselves, except for workers that repeat their last steps.
      log_(length * sizeof(float), options.log_versions),
      slots_(options.worker_count) {}

absl::Status BucketCore::Check(const Contribution& contribution) const {
  if (contribution.rank >= slots_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", contribution.rank, " is outside the ", slots_.size(), " workers"));
  }
  if (contribution.base_version > version_ && !IsTakenBack(contribution)) {
    return absl::FailedPreconditionError(
        absl::StrCat("base version ", contribution.base_version, " is ahead: this bucket is at version ", version_,
                     ": the server has lost its state; start it with the --state_dir that it had, or all anew"));
  }
  if (IsSync() && contribution.base_version != contribution.step) {
    return absl::FailedPreconditionError(absl::StrCat("step ", contribution.step, " does not fit base version ",
                                                      contribution.base_version,
                                                      ": in synchronous training they are equal"));
  }
  return CheckWeight(contribution.weight);
}

bool BucketCore::IsTakenBack(const Contribution& contribution) const {
  return options_.may_lose_versions && version_ > 0 && contribution.base_version > version_;
}

bool BucketCore::IsHeld(const Contribution& contribution) const {
  const Slot& slot = slots_[contribution.rank];
  return slot.ahead.has_value() && slot.ahead->contribution.step == contribution.step;
}

bool BucketCore::Changes(const BucketInput& input) const {
  const auto* contribute = std::get_if<Contribute>(&input);
  if (contribute == nullptr) return true;
  const Contribution& contribution = contribute->contribution;
  if (!ended_.ok() || !Check(contribution).ok()) return false;
  if (IsTakenBack(contribution)) return IsSync() && !IsHeld(contribution);
  return !slots_[contribution.rank].steps.IsCounted(contribution.step);
}

void BucketCore::NoteRecovered(CallNumber first_call) {
  first_call_ = first_call;
  for (Slot& slot : slots_) {  // no worker gets the answers to a journal's contributions
    slot.lost = Lost{};
    slot.heard = false;
  }
  if (options_.may_lose_versions) recovered_ = std::min(recovered_.value_or(version_), version_);
}

BucketEffects BucketCore::Apply(const BucketInput& input) {
  if (const auto* contribute = std::get_if<Contribute>(&input)) return Take(*contribute);
  BucketEffects effects;
  if (const auto* admit = std::get_if<Admit>(&input)) {
    Take(*admit);
  } else {
    slots_[std::get<Retire>(input).rank].active = false;
    if (ended_.ok()) Advance(&effects);
  }
  return effects;
}

BucketEffects BucketCore::Take(const Contribute& input) {
  const Contribution& contribution = input.contribution;
  BucketEffects effects;
  const absl::Status status = ended_.ok() ? Check(contribution) : ended_;
  if (!status.ok()) {
    effects.answers.push_back({input.call, status});
    return effects;
  }
  slots_[contribution.rank].heard = true;
  if (IsTakenBack(contribution)) return TakeAhead(input);
  Take(contribution, input.update, {input.call});
  Advance(&effects);
  return effects;
}

void BucketCore::Take(const Contribution& contribution, const std::optional<CheckedUpdate>& update,
                      absl::Span<const CallNumber> calls) {
  Slot& slot = slots_[contribution.rank];
  const bool is_retry = slot.steps.IsCounted(contribution.step);
  if (!is_retry) Count(contribution, update);
  const bool differs = contribution.replica_crc32c.has_value() &&
                       checks_.Differs(contribution.base_version, *contribution.replica_crc32c);
  const bool is_lost = HoldsLostVersion(contribution);
  for (const CallNumber call : calls) {
    slot.waiting.push_back(
        {contribution.step, contribution.base_version, call, differs && !is_lost, is_retry, is_lost});
  }
}

BucketEffects BucketCore::TakeAhead(const Contribute& input) {
  const Contribution& contribution = input.contribution;
  Slot& slot = slots_[contribution.rank];
  BucketEffects effects;
  HoldsLostVersion(contribution);
  if (!IsSync()) {
    slot.lost.told = version_;
    effects.answers.push_back({input.call, WholeWeights()});
    return effects;
  }
  if (!IsHeld(contribution)) {
    if (slot.ahead.has_value()) {
      for (const CallNumber call : slot.ahead->calls) {
        effects.answers.push_back({call, absl::UnavailableError("another contribution came in this one's place")});
      }
    }
    slot.active = true;
    slot.ahead = Ahead{contribution, input.update, {}};
  }
  slot.ahead->calls.push_back(input.call);
  Advance(&effects);
  return effects;
}

void BucketCore::TakeHeld() {
  for (Slot& slot : slots_) {
    if (!slot.ahead.has_value() || slot.ahead->contribution.step > version_) continue;
    const Ahead held = *std::exchange(slot.ahead, std::nullopt);
    Take(held.contribution, held.update, held.calls);
  }
}

// What the worker names may be a version of before the crash or one of after it, of the same number: only that it was
// answered since, and not the version that it named before, tells.
bool BucketCore::HoldsLostVersion(const Contribution& contribution) {
  const uint64_t base = contribution.base_version;
  if (!recovered_.has_value() || base <= *recovered_) return false;
  Lost& lost = slots_[contribution.rank].lost;
  if (lost.none && base <= version_) return false;
  lost.none = base <= version_ && base == lost.told && base > lost.version;
  if (lost.none) return false;
  lost.version = std::max(lost.version, base);
  return true;
}

void BucketCore::Count(const Contribution& contribution, const std::optional<CheckedUpdate>& update) {
  Slot& slot = slots_[contribution.rank];
  CDDP_CHECK(contribution.base_version <= version_) << contribution.base_version << " at version " << version_;
  slot.active = true;
  staleness_ = std::max(staleness_, version_ - contribution.base_version);
  const float weight = WeightOf(contribution);
  if (weight > 0 && version_ > 0) slot.usual_weight = weight;
  const bool late = RoundsAreShared() && contribution.step < version_;
  if (late || slot.contributed) {
    if (IsSync()) slot.steps.NoteLate(contribution.step);
    if (contribution.step >= slot.steps.next()) slot.last_refused = contribution.non_finite;
    if (!contribution.non_finite && update.has_value()) {
      late_.resize(length_);
      UpdateReader(*update).AddTo(0, weight, absl::MakeSpan(late_));
    }
  } else {
    slot.contributed = true;
    slot.non_finite = contribution.non_finite;
    slot.weight = weight;
    slot.update = update;
    slot.bytes = contribution.update;
    ++contributed_;
  }
  slot.steps.NoteCounted(contribution.step, /*keeps_gaps=*/IsSync());
  ++slot.clock;
}

double BucketCore::SumOfShares() const {
  double known = 0;
  uint32_t with_weight = 0;
  uint32_t taking_part = 0;
  for (const Slot& slot : slots_) {
    if (!slot.active && !slot.contributed) continue;
    ++taking_part;
    const float share = slot.contributed && slot.weight > 0 ? slot.weight : slot.usual_weight;
    known += share;
    with_weight += share > 0 ? 1 : 0;
  }
  if (with_weight == 0) return std::max(taking_part, 1u);
  return known + (taking_part - with_weight) * (known / with_weight);
}

bool BucketCore::RoundIsComplete() const {
  if (!RoundsAreShared()) return contributed_ != 0;
  uint32_t there = 0;
  bool all = true;
  for (const Slot& slot : slots_) {
    there += slot.is_there() ? 1 : 0;
    all = all && (slot.is_there() || !slot.active);
  }
  if (there == 0) return false;
  if (version_ == 0) return contributed_ == slots_.size();  // the weights' source must be among them
  return all || (options_.consistency.quorum != 0 && there >= options_.consistency.quorum);
}

void BucketCore::SkipToHeld() {
  uint64_t first = UINT64_MAX;
  for (const Slot& slot : slots_) {
    if (slot.ahead.has_value()) first = std::min(first, slot.ahead->contribution.step);
  }
  version_ = first;
  snapshot_ = {};
  log_.Restart(version_);
}

void BucketCore::Advance(BucketEffects* effects) {
  while (ended_.ok() && RoundIsComplete()) {
    if (contributed_ == 0) {
      SkipToHeld();
      TakeHeld();
      continue;
    }
    const absl::Status status = CloseRound();
    bool refused = false;
    for (Slot& slot : slots_) {
      if (slot.contributed) refused = slot.last_refused;
      slot.contributed = false;
      slot.weight = 0;
      slot.update.reset();
      slot.bytes = {};
    }
    contributed_ = 0;
    if (!status.ok()) ended_ = status;
    effects->closed = {refused, std::exchange(staleness_, 0)};
    TakeHeld();
  }
  for (Slot& slot : slots_) {
    auto keep = slot.waiting.begin();
    for (const Waiter& waiter : slot.waiting) {
      if (!ended_.ok()) {
        effects->answers.push_back({waiter.call, ended_});
      } else if (MayGoOn(slot, waiter)) {
        effects->answers.push_back({waiter.call, AnswerFor(slot, waiter)});
        if (waiter.call >= first_call_) slot.lost.told = effects->answers.back().answer->version;
      } else {
        *keep++ = waiter;
      }
    }
    slot.waiting.erase(keep, slot.waiting.end());
  }
}

bool BucketCore::MayGoOn(const Slot& slot, const Waiter& waiter) const {
  if (version_ == 0) return false;
  switch (options_.consistency.mode) {
    case Consistency::kSync:
      return version_ > waiter.step;
    case Consistency::kStale: {
      if (options_.bucket != 0) return true;
      uint64_t slowest = slot.clock;
      for (const Slot& other : slots_) {
        if (other.active) slowest = std::min(slowest, other.clock);
      }
      return slot.clock - slowest <= options_.consistency.max_staleness;
    }
    case Consistency::kAsync:
      return true;
  }
  return true;
}

uint64_t BucketCore::AnsweredVersion(const Slot& slot, const Waiter& waiter) const {
  if (!waiter.is_retry || !IsSync()) return version_;
  return slot.steps.FollowerOf(waiter.step);  // the first answer led to there
}

ExchangeAnswer BucketCore::WholeWeights() {
  if (snapshot_.empty()) {
    std::vector<float> weights(weights_->published().begin(), weights_->published().end());
    std::string update;
    EncodeDense(absl::MakeSpan(weights), ValueEncoding::kFp32, &update);
    snapshot_ = RunOf(update);
  }
  ExchangeAnswer answer;
  answer.version = version_;
  answer.updates = {snapshot_};
  answer.replaces = true;
  return answer;
}

ExchangeAnswer BucketCore::AnswerFor(const Slot& slot, const Waiter& waiter) {
  const uint64_t version = AnsweredVersion(slot, waiter);
  std::optional<std::vector<SharedBytes>> changes;
  if (!waiter.replica_differs && !waiter.holds_lost_version) changes = log_.Between(waiter.base_version, version);
  // The weights themselves are smaller than very many changes, and always fit a message. (In sync mode a worker that is
  // far behind asks for one version after the other, or is told the newest once.)
  if (!IsSync() && changes.has_value() && version > waiter.base_version + 1 &&
      BytesOf(*changes) > length_ * sizeof(float)) {
    changes.reset();
  }
  ExchangeAnswer answer;
  if (changes.has_value()) {
    answer.version = version;
    answer.updates = *std::move(changes);
  } else {
    answer = WholeWeights();
  }
  if (waiter.step + 1 == slot.steps.next()) {
    answer.refused = slot.last_refused;
  } else if (IsSync()) {
    // A late contribution counted in another round, so the refusal of its own did not concern it.
    answer.refused = waiter.is_retry && !slot.steps.WasLate(waiter.step) && log_.Refused(waiter.step + 1);
  }
  answer.replica_differed = waiter.replica_differs;
  answer.repeated = waiter.is_retry;
  return answer;
}

std::optional<std::vector<SharedBytes>> BucketCore::ChangesSince(uint64_t held) const {
  // If a crash may take versions back, this number may now denote another version.
  if (options_.may_lose_versions || held == 0 || held > version_) return std::nullopt;
  std::optional<std::vector<SharedBytes>> changes = log_.Between(held, version_);
  if (changes.has_value() && BytesOf(*changes) > length_ * sizeof(float)) changes.reset();
  return changes;
}

BucketWeights::Round BucketCore::MakeRound() const {
  BucketWeights::Round round;
  std::vector<float> weights;
  for (const Slot& slot : slots_) {
    if (!slot.contributed || !slot.update.has_value()) continue;
    round.contributions.push_back(*slot.update);
    weights.push_back(slot.weight);
  }
  round.carried = late_;
  const double shares = SumOfShares();
  const float first = weights.empty() ? 1 : weights.front();
  const bool alike = std::all_of(weights.begin(), weights.end(), [first](float weight) { return weight == first; });
  if (alike && (late_.empty() || first == 1)) {
    round.scale = static_cast<float>(first / shares);
    return round;
  }
  for (const float weight : weights) round.factors.push_back(static_cast<float>(weight / shares));
  round.carried_factor = static_cast<float>(1 / shares);
  return round;
}

absl::Status BucketCore::CloseRound() {
  std::string update;
  const bool refused =
      std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.contributed && slot.non_finite; });
  for (Slot& slot : slots_) {
    if (slot.contributed) slot.last_refused = refused;
  }
  const BucketWeights::Round round = MakeRound();
  if (!refused && version_ == 0) {
    weights_->Initialize(round, &update);
  } else if (!refused) {
    if (const absl::Status status = weights_->Step(round, &update); !status.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("the weights diverged in step ", version_, ": ",
                                                        status.message(), "; lower the learning rate and start again"));
    }
  }
  if (!refused) std::vector<float>().swap(late_);  // most rounds have none, and it is as large as the weights
  ++version_;
  snapshot_ = {};  // of a version that no caller asks for any more
  log_.Append(update);
  if (ReplicaIsChecked(options_.bucket, version_)) {
    checks_.Note(version_, Crc32c(weights_->published().data(), length_ * sizeof(float)));
  }
  return absl::OkStatus();
}

void BucketCore::Take(const Admit& input) {
  Slot& slot = slots_[input.rank];
  slot.active = true;
  slot.lost = Lost{};
  if (!IsSync()) {
    // What the process before it contributed to the open round counts; the new one's is then a retry.
    if (!slot.contributed) slot.steps.StartAnew();
    slot.last_refused = false;
  }
  // A newcomer begins where the others are. Before the first round all begin: a lead that one had then, in one bucket
  // and not in another, would make workers wait for each other for good.
  if (version_ == 0) return;
  for (const Slot& other : slots_) {
    if (other.active && &other != &slot) slot.clock = std::max(slot.clock, other.clock);
  }
}

BucketEffects BucketCore::End(const absl::Status& why) {
  if (ended_.ok()) ended_ = why;
  BucketEffects effects;
  for (Slot& slot : slots_) {
    for (const Waiter& waiter : slot.waiting) effects.answers.push_back({waiter.call, why});
    if (slot.ahead.has_value()) {
      for (const CallNumber call : slot.ahead->calls) effects.answers.push_back({call, why});
    }
    slot = Slot{};
  }
  contributed_ = 0;
  return effects;
}

bool BucketCore::is_waiting() const {
  return contributed_ != 0 || std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) {
           return !slot.waiting.empty() || slot.ahead.has_value();
         });
}

std::vector<uint32_t> BucketCore::MissingRanks() const {
  std::vector<uint32_t> ranks;
  for (uint32_t rank = 0; rank < slots_.size() && contributed_ != 0; ++rank) {
    if (!slots_[rank].is_there() && slots_[rank].active) ranks.push_back(rank);
  }
  return ranks;
}

std::vector<uint32_t> BucketCore::SilentRanks() const {
  std::vector<uint32_t> ranks;
  if (!recovered_.has_value() || version_ == 0 || !is_waiting()) return ranks;
  for (uint32_t rank = 0; rank < slots_.size(); ++rank) {
    const Slot& slot = slots_[rank];
    if (slot.active && !slot.heard && !slot.is_there()) ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace cddp
