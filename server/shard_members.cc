// The members of a shard's training: joining, catching up, leaving, being lost, and beginning without missing ones.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/shard.h"

namespace cddp {
namespace {

// A training that never got weights holds its memory until the server ends.
constexpr size_t kMostForgotten = 8;
constexpr char kHowToGrow[] =
    ": a run never has more workers than its servers' --workers. To let some come later, begin it with as many as "
    "there "
    "may ever be, and with --min_workers and --start_timeout";

}  // namespace

void Shard::Join(uint32_t rank, uint64_t incarnation, uint32_t worker_count, const ParameterLayout& layout,
                 absl::string_view settings, const RunIdentity& run, const JoinDone& done) {
  absl::StatusOr<JoinResult> joined = JoinNow(rank, incarnation, worker_count, layout, settings, run);
  if (!joined.ok()) return done(std::move(joined));
  WhenSynced([done, joined](const absl::Status& synced) { done(synced.ok() ? joined : synced); });
}

absl::StatusOr<Shard::JoinResult> Shard::Join(uint32_t rank, uint64_t incarnation, uint32_t worker_count,
                                              const ParameterLayout& layout, absl::string_view settings,
                                              const RunIdentity& run) {
  absl::StatusOr<JoinResult> joined = JoinNow(rank, incarnation, worker_count, layout, settings, run);
  if (!joined.ok()) return joined;
  const absl::Status synced = Sync();
  return synced.ok() ? joined : synced;
}

absl::StatusOr<Shard::JoinResult> Shard::JoinNow(uint32_t rank, uint64_t incarnation, uint32_t worker_count,
                                                 const ParameterLayout& layout, absl::string_view settings,
                                                 const RunIdentity& run) {
  if (worker_count != options_.worker_count) {
    return absl::InvalidArgumentError(absl::StrCat("worker ", rank, " was started with --workers=", worker_count,
                                                   ", this server with --workers=", options_.worker_count,
                                                   worker_count > options_.worker_count ? kHowToGrow : ""));
  }
  MutexLock lock(join_mutex_);
  if (!closed_.ok()) return closed_;
  if (absl::Status status = CheckProcess(rank, incarnation, run); !status.ok()) return status;
  if (absl::Status status = CheckTraining(rank, layout, settings); !status.ok()) return status;
  const uint64_t next_step = NextStep(rank);  // before an Admit may make its steps count anew
  if (space_ == nullptr) {
    if (absl::Status status = Begin(rank, incarnation, layout, settings); !status.ok()) return status;
  } else {
    absl::StatusOr<bool> is_new = membership_.Join(rank, incarnation);
    if (!is_new.ok()) return is_new.status();
    if (*is_new) {
      for (const auto& bucket : space_->buckets) bucket->Admit(rank);
    } else {
      LetIn(rank);
    }
    AdoptAgreement(rank, settings);
    NoteMemberChanges();  // after them: a member that the journal knows has been admitted
  }
  JoinResult result = {space_->run, UINT64_MAX, run_.name(), next_step};
  for (const auto& bucket : space_->buckets) result.version = std::min(result.version, bucket->version());
  return result;
}

uint64_t Shard::NextStep(uint32_t rank) const {
  uint64_t next_step = 0;
  if (space_ == nullptr || rank >= options_.worker_count) return 0;
  for (const auto& bucket : space_->buckets) next_step = std::max(next_step, bucket->next_step(rank));
  return next_step;
}

absl::Status Shard::Begin(uint32_t rank, uint64_t incarnation, const ParameterLayout& layout,
                          absl::string_view settings) {
  absl::StatusOr<std::unique_ptr<Space>> space = MakeSpace(layout);
  if (!space.ok()) return space.status();
  if (absl::StatusOr<bool> joined = membership_.Join(rank, incarnation); !joined.ok()) return joined.status();
  space_ = *std::move(space);
  if (journal_ != nullptr) {
    AppendTo(*journal_, Begin(*space_));
    Attach(space_.get());
  }
  // Who had come and gone before, when a worker began with another model: as it was then, rounds do not wait for them.
  for (const Member& member : membership_.members()) {
    if (member.state == MemberState::kJoined) continue;
    for (const auto& bucket : space_->buckets) bucket->Retire(member.rank);
  }
  AdoptAgreement(rank, settings);
  NoteMemberChanges();
  published_space_.store(space_.get(), std::memory_order_release);
  return absl::OkStatus();
}

bool Shard::HasBegun() const {
  return space_ != nullptr && std::any_of(space_->buckets.begin(), space_->buckets.end(),
                                          [](const auto& bucket) { return bucket->version() > 0; });
}

absl::Status Shard::CheckProcess(uint32_t rank, uint64_t incarnation, const RunIdentity& run) {
  const bool knows_run = run.claim != RunClaim::kAny && run.name == run_.name();
  if (!knows_run) {
    if (absl::Status status = membership_.CheckNotHeld(rank, incarnation); !status.ok()) return status;
  }
  const absl::StatusOr<bool> is_named = run_.Join(rank, run, IsAlone(rank), HasBegun());
  if (!is_named.ok()) return is_named.status();
  if (*is_named) {
    spdlog::info("event=run name={} rank={}", run_.name(), rank);
    if (journal_ != nullptr) AppendTo(*journal_, RunEvent{run_.name()});
  }
  return absl::OkStatus();
}

absl::Status Shard::CheckTraining(uint32_t rank, const ParameterLayout& layout, absl::string_view settings) {
  const bool alone = IsAlone(rank);
  absl::Status status = agreement_.Check(rank, settings, alone);
  if (status.ok() && space_ != nullptr) {
    if (const std::string difference = layout.DescribeDifference(space_->layout); !difference.empty()) {
      status = absl::InvalidArgumentError(absl::StrCat("worker ", rank, " has another model than those before it: ",
                                                       difference, "; start all workers with one --model"));
    }
  }
  if (status.ok() || !alone || HasBegun() || space_ == nullptr || forgotten_.size() >= kMostForgotten) return status;
  spdlog::info("event=begun_again rank={} reason=\"{}; it is alone, and there are no weights yet\"", rank,
               std::string(status.message()));
  published_space_.store(nullptr, std::memory_order_release);
  for (const auto& bucket : space_->buckets) {
    bucket->Close(absl::UnavailableError("the training begins again, with another model or other settings"));
  }
  forgotten_.push_back(std::move(space_));
  agreement_ = WorkersAgreement();
  armed_ = 0;
  return absl::OkStatus();
}

bool Shard::IsAlone(uint32_t rank) const {
  const std::vector<Member> members = membership_.members();
  return std::none_of(members.begin(), members.end(), [rank](const Member& member) {
    return member.rank != rank && member.state == MemberState::kJoined && !member.lost;
  });
}

void Shard::AdoptAgreement(uint32_t rank, absl::string_view settings) {
  if (!agreement_.Adopt(rank, settings)) return;
  spdlog::info("event=agreement rank={} settings=\"{}\"", rank, agreement_.settings());
  if (journal_ != nullptr) AppendTo(*journal_, Agreed());
}

std::string Shard::agreement() {
  MutexLock lock(join_mutex_);
  return agreement_.settings();
}

AgreementEvent Shard::Agreed() const { return {agreement_.rank(), agreement_.settings()}; }

absl::Status Shard::CheckRun(absl::string_view run) {
  if (absl::Status status = run_.CheckCall(run); !status.ok()) return status;
  // It joined this server before that was started again.
  return run.empty() || membership_.view() > 0 ? absl::OkStatus() : run_.CallOfLostRun(run);
}

absl::Status Shard::LetCatchUp(uint32_t rank, uint64_t incarnation) {
  MutexLock lock(join_mutex_);
  const absl::StatusOr<bool> begins = membership_.BeginCatchUp(rank, incarnation);
  if (!begins.ok() || !*begins) return begins.status();
  spdlog::info("event=catching_up rank={}", rank);
  Retire(rank);
  NoteMemberChanges();  // it may have been lost
  return absl::OkStatus();
}

void Shard::LetIn(uint32_t rank) {
  if (!membership_.IsCatchingUp(rank)) return;
  for (const auto& bucket : space_->buckets) bucket->Admit(rank);
  membership_.EndCatchUp(rank);  // only now do its contributions count without this lock
  for (const Member& member : membership_.members()) {
    if (member.rank != rank) continue;
    spdlog::info("event=caught_up rank={} bytes={} seconds={:.1f}", rank, member.read_bytes,
                 absl::ToDoubleSeconds(member.reading_time));
  }
}

void Shard::Retire(uint32_t rank) {
  const Space* space = this->space();
  if (space == nullptr) return;
  for (const auto& bucket : space->buckets) Retire(rank, *bucket);
}

void Shard::Retire(uint32_t rank, BucketState& bucket) {
  if (const std::optional<RoundTiming> timing = bucket.Retire(rank); timing.has_value()) metrics_.NoteRound(*timing);
}

void Shard::RetireFromBucketsTakenBack() {
  const Space* space = this->space();
  if (space == nullptr || options_.durability == Durability::kVersion) return;
  for (uint32_t i = 0; i < space->buckets.size(); ++i) {
    BucketState& bucket = *space->buckets[i];
    const std::vector<uint32_t> ranks = bucket.RanksToRetire(options_.lease);
    if (ranks.empty()) continue;
    spdlog::warn(
        "event=bucket_goes_on bucket={} version={} without_ranks={} reason=\"--durability={} lost versions of it in a "
        "crash; these workers may have them and wait at other servers, so its rounds do not wait until they come\"",
        space->run.begin + i, bucket.version(), absl::StrJoin(ranks, ","), AbslUnparseFlag(options_.durability));
    for (const uint32_t rank : ranks) Retire(rank, bucket);
  }
}

void Shard::Leave(uint32_t rank, uint64_t incarnation, bool finished,
                  const std::function<void(const absl::Status&)>& done) {
  const absl::Status left = LeaveNow(rank, incarnation, finished);
  if (!left.ok()) return done(left);
  WhenSynced(done);
}

absl::Status Shard::Leave(uint32_t rank, uint64_t incarnation, bool finished) {
  const absl::Status left = LeaveNow(rank, incarnation, finished);
  return left.ok() ? Sync() : left;
}

absl::Status Shard::LeaveNow(uint32_t rank, uint64_t incarnation, bool finished) {
  MutexLock lock(join_mutex_);
  // In this order: a snapshot that knows of it holds buckets that do, too.
  if (absl::Status status = membership_.Touch(rank, incarnation); !status.ok()) return status;
  Retire(rank);
  if (absl::Status status = membership_.Leave(rank, incarnation, finished); !status.ok()) return status;
  NoteMemberChanges();
  return absl::OkStatus();
}

void Shard::NoteMemberChanges() {
  for (const MemberChange& change : membership_.TakeChanges()) {
    spdlog::info("event=view view={} workers={} rank={} state={}", change.view, change.workers, change.rank,
                 std::string(MemberStateName(change.state)));
    if (journal_ == nullptr) {
      RaiseDurableView(change.view);
      continue;
    }
    const uint64_t position =
        AppendTo(*journal_, MemberEvent{change.rank, change.incarnation, change.state, change.view});
    journal_->WhenDurable(position, [this, view = change.view](const absl::Status& status) {
      if (status.ok()) RaiseDurableView(view);
    });
  }
}

void Shard::RaiseDurableView(uint64_t view) {
  uint64_t before = durable_view_.load(std::memory_order_relaxed);
  while (before < view && !durable_view_.compare_exchange_weak(before, view, std::memory_order_release)) {
  }
}

absl::StatusOr<std::vector<uint32_t>> Shard::BeginWithoutMissing(absl::Duration now) {
  std::vector<uint32_t> missing;
  absl::Status failed;
  {
    MutexLock lock(join_mutex_);
    if (options_.start_timeout == absl::InfiniteDuration() || start_is_decided_ || space_ == nullptr) return missing;
    if (!waits_since_.has_value()) waits_since_ = now;
    start_is_decided_ = HasBegun();
    if (start_is_decided_ || now - *waits_since_ < options_.start_timeout) return missing;
    start_is_decided_ = true;
    missing = MissingRanks();
    const uint32_t there = options_.worker_count - static_cast<uint32_t>(missing.size());
    const uint32_t wanted = options_.min_workers == 0 ? options_.worker_count : options_.min_workers;
    if (missing.empty()) return missing;
    if (there >= wanted && missing.front() != 0) {
      // Treats them as if they had come, contributed nothing to the first step, and left.
      for (const uint32_t rank : missing) {
        for (const auto& bucket : space_->buckets) {
          bucket->Exchange({rank, 0, 0, SharedBytes()}, [](const absl::StatusOr<ExchangeAnswer>&) {});
        }
        Retire(rank);
      }
      return missing;
    }
    failed = absl::FailedPreconditionError(absl::StrCat(
        "the training does not begin: after --start_timeout=", absl::FormatDuration(options_.start_timeout), " ", there,
        " of ", options_.worker_count, " workers are there, without ", absl::StrJoin(missing, ", "),
        there >= wanted ? ", and worker 0 has the initial weights"
                        : absl::StrCat("; at least ", wanted, " are wanted (--min_workers)")));
  }
  Close(failed);
  return failed;
}

std::vector<uint32_t> Shard::MissingRanks() const {
  std::vector<bool> there(options_.worker_count);
  for (const Member& member : membership_.members()) {
    there[member.rank] = member.state == MemberState::kJoined && !member.lost;
  }
  std::vector<uint32_t> missing;
  for (uint32_t rank = 0; rank < options_.worker_count; ++rank) {
    if (!there[rank]) missing.push_back(rank);
  }
  return missing;
}

std::vector<uint32_t> Shard::RetireLost() {
  MutexLock lock(join_mutex_);  // a snapshot that knows of it holds buckets that do, too
  const std::vector<uint32_t> lost = membership_.TakeNewlyLost();
  for (uint32_t rank : lost) Retire(rank);
  RetireFromBucketsTakenBack();
  NoteMemberChanges();
  return lost;
}

}  // namespace cddp
