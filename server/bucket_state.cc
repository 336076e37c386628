#include "server/bucket_state.h"

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

// Gaps that are known of a worker. Older steps pass for counted ones.
constexpr size_t kKnownGaps = 64;

CompressorOptions PublishOptions(const BucketOptions& options) {
  CompressorOptions publish = options.publish;
  if (options.consistency.mode != Consistency::kSync && publish.ratio < 1) publish.ratio /= options.worker_count;
  return publish;
}

// What a contribution counts with; 0: the worker's usual weight.
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

absl::StatusOr<std::unique_ptr<BucketState>> BucketState::Create(uint32_t length, const BucketOptions& options) {
  absl::StatusOr<std::unique_ptr<BucketWeights>> weights =
      BucketWeights::Create(length, options.optimizer, PublishOptions(options));
  if (!weights.ok()) return weights.status();
  return std::unique_ptr<BucketState>(new BucketState(length, options, *std::move(weights)));
}

BucketState::BucketState(uint32_t length, const BucketOptions& options, std::unique_ptr<BucketWeights> weights)
    : length_(length),
      options_(options),
      weights_(std::move(weights)),
      // A longer log is no better than the weights themselves, but for workers that make their last steps once more.
      log_(length * sizeof(float), options.log_versions),
      slots_(options.worker_count) {}

absl::Status BucketState::Check(const Contribution& contribution) const {
  if (contribution.rank >= slots_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", contribution.rank, " is outside the ", slots_.size(), " workers"));
  }
  if (contribution.base_version > version_) {
    return absl::FailedPreconditionError(
        absl::StrCat("base version ", contribution.base_version, " is ahead: this bucket is at version ", version_));
  }
  if (options_.consistency.mode == Consistency::kSync && contribution.base_version != contribution.step) {
    return absl::FailedPreconditionError(absl::StrCat("step ", contribution.step, " does not fit base version ",
                                                      contribution.base_version,
                                                      ": in synchronous training they are equal"));
  }
  return CheckWeight(contribution.weight);
}

std::optional<RoundTiming> BucketState::Exchange(const Contribution& contribution, ExchangeDone done) {
  std::vector<Reply> replies;
  std::optional<RoundTiming> timing;
  BucketJournal* journal = nullptr;
  uint64_t position = 0;
  // Outside the lock: other calls go on meanwhile.
  std::optional<CheckedUpdate> update;
  absl::Status status;
  if (!contribution.update.empty()) {
    absl::StatusOr<CheckedUpdate> checked = CheckedUpdate::Check(contribution.update.view(), length_);
    if (checked.ok()) update = *checked;
    status = checked.status();
  }
  {
    MutexLock lock(mutex_);
    if (!closed_.ok()) status = closed_;
    const bool taken_back =
        options_.may_lose_versions && version_ > 0 && contribution.base_version > version_ && status.ok();
    if (status.ok() && !taken_back) status = Check(contribution);
    if (taken_back) {
      replies.push_back({std::move(done), WholeWeights()});
    } else if (status.ok()) {
      const bool is_retry = IsCounted(slots_[contribution.rank], contribution.step);
      if (!is_retry) Count(contribution, update);
      const bool differs = contribution.replica_crc32c.has_value() &&
                           checks_.Differs(contribution.base_version, *contribution.replica_crc32c);
      slots_[contribution.rank].waiting.push_back(
          {contribution.step, contribution.base_version, std::move(done), differs, is_retry});
      timing = Advance(&replies);
      journal = journal_;
      position = journalled_;
    } else {
      replies.push_back({std::move(done), status});
    }
  }
  Release(std::move(replies), journal, position);
  return timing;
}

void BucketState::set_journal(BucketJournal* journal) {
  MutexLock lock(mutex_);
  journal_ = journal;
}

void BucketState::Release(std::vector<Reply> replies, BucketJournal* journal, uint64_t position) {
  if (replies.empty()) return;
  const auto release = [](std::vector<Reply>& all, const absl::Status& status) {
    for (Reply& reply : all) {
      if (!status.ok() && reply.answer.ok()) reply.answer = status;
      reply.done(std::move(reply.answer));
    }
  };
  if (journal == nullptr) {
    release(replies, absl::OkStatus());
    return;
  }
  journal->WhenDurable(position, [release, all = std::make_shared<std::vector<Reply>>(std::move(replies))](
                                     const absl::Status& status) { release(*all, status); });
}

bool BucketState::IsCounted(const Slot& slot, uint64_t step) {
  return step < slot.next_step && std::none_of(slot.gaps.begin(), slot.gaps.end(),
                                               [step](const Gap& gap) { return gap.begin <= step && step < gap.end; });
}

void BucketState::NoteCounted(uint64_t step, Slot* slot) const {
  if (step >= slot->next_step) {
    if (options_.consistency.mode == Consistency::kSync && step > slot->next_step) {
      slot->gaps.push_back({slot->next_step, step});
      if (slot->gaps.size() > kKnownGaps) slot->gaps.erase(slot->gaps.begin());
    }
    slot->next_step = step + 1;
    return;
  }
  const auto gap = std::find_if(slot->gaps.begin(), slot->gaps.end(),
                                [step](const Gap& gap) { return gap.begin <= step && step < gap.end; });
  CDDP_CHECK(gap != slot->gaps.end()) << "step " << step << " is counted twice";
  const Gap after = {step + 1, gap->end};
  gap->end = step;
  if (after.begin < after.end) slot->gaps.insert(gap + 1, after);
  std::erase_if(slot->gaps, [](const Gap& gap) { return gap.begin == gap.end; });
}

void BucketState::Count(const Contribution& contribution, const std::optional<CheckedUpdate>& update) {
  Slot& slot = slots_[contribution.rank];
  CDDP_CHECK(contribution.base_version <= version_) << contribution.base_version << " at version " << version_;
  if (journal_ != nullptr) journalled_ = journal_->Counted(contribution);
  slot.active = true;
  staleness_ = std::max(staleness_, version_ - contribution.base_version);
  const float weight = WeightOf(contribution);
  if (weight > 0 && version_ > 0) slot.usual_weight = weight;
  const bool late = RoundsAreShared() && contribution.step < version_;
  if (late || slot.contributed) {
    if (options_.consistency.mode == Consistency::kSync) {
      slot.late.push_back(contribution.step);
      if (slot.late.size() > kKnownGaps) slot.late.erase(slot.late.begin());
    }
    if (contribution.step >= slot.next_step) slot.last_refused = contribution.non_finite;
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
    if (contributed_++ == 0) open_since_ = absl::Now();
  }
  NoteCounted(contribution.step, &slot);
  ++slot.clock;
}

double BucketState::SumOfShares() const {
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

bool BucketState::RoundIsComplete() const {
  if (contributed_ == 0) return false;
  if (!RoundsAreShared()) return true;
  const bool all =
      std::all_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.contributed || !slot.active; });
  if (version_ == 0) return contributed_ == slots_.size();  // the weights' source must be among them
  return all || (options_.consistency.quorum != 0 && contributed_ >= options_.consistency.quorum);
}

std::optional<RoundTiming> BucketState::Advance(std::vector<Reply>* replies) {
  std::optional<RoundTiming> timing;
  if (RoundIsComplete()) {
    const absl::Time complete = absl::Now();
    const absl::Time open_since = open_since_;
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
    open_since_ = absl::InfiniteFuture();
    if (!status.ok()) closed_ = status;
    timing = RoundTiming{complete - open_since, absl::Now() - complete, refused, std::exchange(staleness_, 0)};
    if (!saves_.empty() && closed_.ok()) MakeSaves();
  }
  for (Slot& slot : slots_) {
    auto keep = slot.waiting.begin();
    for (Waiter& waiter : slot.waiting) {
      if (!closed_.ok()) {
        replies->push_back({std::move(waiter.done), closed_});
      } else if (MayGoOn(slot, waiter)) {
        replies->push_back({std::move(waiter.done), AnswerFor(slot, waiter)});
      } else {
        *keep++ = std::move(waiter);
      }
    }
    slot.waiting.erase(keep, slot.waiting.end());
  }
  return timing;
}

bool BucketState::MayGoOn(const Slot& slot, const Waiter& waiter) const {
  if (version_ == 0) return false;
  switch (options_.consistency.mode) {
    case Consistency::kSync:
      return version_ > waiter.step;
    case Consistency::kStale: {
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

uint64_t BucketState::AnsweredVersion(const Slot& slot, const Waiter& waiter) const {
  if (!waiter.is_retry || options_.consistency.mode != Consistency::kSync) return version_;
  // The first answer led to where the worker contributed next.
  const auto gap = std::find_if(slot.gaps.begin(), slot.gaps.end(),
                                [&waiter](const Gap& gap) { return gap.begin == waiter.step + 1; });
  return gap == slot.gaps.end() ? waiter.step + 1 : gap->end;
}

ExchangeAnswer BucketState::WholeWeights() {
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

ExchangeAnswer BucketState::AnswerFor(const Slot& slot, const Waiter& waiter) {
  const uint64_t version = AnsweredVersion(slot, waiter);
  std::optional<std::vector<SharedBytes>> changes;
  if (!waiter.replica_differs) changes = log_.Between(waiter.base_version, version);
  // The weights themselves are smaller than very many changes, and always fit a message. (In sync mode a worker that is
  // far behind asks for one version after the other, or is told the newest once.)
  if (options_.consistency.mode != Consistency::kSync && changes.has_value() && version > waiter.base_version + 1 &&
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
  if (waiter.step + 1 == slot.next_step) {
    answer.refused = slot.last_refused;
  } else if (options_.consistency.mode == Consistency::kSync) {
    // A late contribution counted in another round, so the refusal of its own did not concern it.
    const bool was_late = std::find(slot.late.begin(), slot.late.end(), waiter.step) != slot.late.end();
    answer.refused = waiter.is_retry && !was_late && log_.Refused(waiter.step + 1);
  }
  answer.replica_differed = waiter.replica_differs;
  answer.repeated = waiter.is_retry;
  return answer;
}

BucketWeights::Round BucketState::MakeRound() const {
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

absl::Status BucketState::CloseRound() {
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
  snapshot_ = {};  // of a version that nobody asks for any more
  log_.Append(update);
  if (ReplicaIsChecked(options_.bucket, version_)) {
    checks_.Note(version_, Crc32c(weights_->published().data(), length_ * sizeof(float)));
  }
  return absl::OkStatus();
}

void BucketState::Admit(uint32_t rank) {
  MutexLock lock(mutex_);
  Slot& slot = slots_[rank];
  if (journal_ != nullptr) journalled_ = journal_->Admitted(rank);
  slot.active = true;
  if (options_.consistency.mode != Consistency::kSync) {
    // What the process before it contributed to the open round counts; the new one's is then a retry.
    if (!slot.contributed) slot.next_step = 0;
    slot.last_refused = false;
  }
  // A newcomer begins where the others are. Before the first round all begin: a lead that one had then, in one bucket
  // and not in another, would make workers wait for each other for good.
  if (version_ == 0) return;
  for (const Slot& other : slots_) {
    if (other.active && &other != &slot) slot.clock = std::max(slot.clock, other.clock);
  }
}

std::optional<RoundTiming> BucketState::Retire(uint32_t rank) {
  std::vector<Reply> replies;
  std::optional<RoundTiming> timing;
  BucketJournal* journal = nullptr;
  uint64_t position = 0;
  {
    MutexLock lock(mutex_);
    slots_[rank].active = false;
    if (journal_ != nullptr) journalled_ = journal_->Retired(rank);
    if (closed_.ok()) timing = Advance(&replies);
    journal = journal_;
    position = journalled_;
  }
  Release(std::move(replies), journal, position);
  return timing;
}

void BucketState::Close(const absl::Status& why) {
  std::vector<Waiter> ended;
  std::vector<std::pair<uint64_t, TakeState>> saves;
  {
    MutexLock lock(mutex_);
    if (closed_.ok()) closed_ = why;
    saves.swap(saves_);
    for (Slot& slot : slots_) {
      std::move(slot.waiting.begin(), slot.waiting.end(), std::back_inserter(ended));
      slot = Slot{};
    }
    contributed_ = 0;
    open_since_ = absl::InfiniteFuture();
  }
  for (Waiter& waiter : ended) waiter.done(why);
  for (const auto& [version, take] : saves) take(why);
}

uint64_t BucketState::version() const {
  MutexLock lock(mutex_);
  return version_;
}

uint64_t BucketState::log_bytes() const {
  MutexLock lock(mutex_);
  return log_.bytes();
}

uint64_t BucketState::next_step(uint32_t rank) const {
  MutexLock lock(mutex_);
  return slots_[rank].next_step;
}

bool BucketState::is_waiting() const {
  MutexLock lock(mutex_);
  return contributed_ != 0 ||
         std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.waiting.empty(); });
}

BucketState::Waiting BucketState::waiting() const {
  MutexLock lock(mutex_);
  Waiting waiting;
  if (contributed_ == 0) return waiting;
  waiting.since = open_since_;
  for (uint32_t rank = 0; rank < slots_.size(); ++rank) {
    if (!slots_[rank].contributed && slots_[rank].active) waiting.ranks.push_back(rank);
  }
  return waiting;
}

uint64_t BucketState::Read(std::vector<float>* published) const {
  MutexLock lock(mutex_);
  published->assign(weights_->published().begin(), weights_->published().end());
  return version_;
}

uint32_t BucketState::Checksum(uint32_t crc) const {
  MutexLock lock(mutex_);
  return Crc32c(weights_->published().data(), length_ * sizeof(float), crc);
}

}  // namespace cddp
