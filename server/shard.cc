#include "server/shard.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace cddp {

absl::Status Validate(const ShardOptions& options) {
  if (options.shard_count == 0 || options.shard >= options.shard_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("--shard=", options.shard, " is outside --shards=", options.shard_count));
  }
  if (options.state_dir.empty() && (options.restore_version != 0 || options.checkpoint_every != 0)) {
    return absl::InvalidArgumentError("--restore_version and --checkpoint_every need --state_dir");
  }
  if (!options.run.empty()) {
    if (absl::Status status = CheckRunName("--run", options.run); !status.ok()) return status;
  }
  if (options.keep_checkpoints == 0) return absl::InvalidArgumentError("--keep_checkpoints must be at least 1");
  if (options.worker_count == 0) return absl::InvalidArgumentError("--workers must be at least 1");
  if (options.min_workers > options.worker_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("--min_workers=", options.min_workers, " is more than --workers=", options.worker_count));
  }
  if (!(options.publish.ratio >= 0 && options.publish.ratio <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--publish_ratio=", options.publish.ratio, " is outside (0, 1]; 0 means as much as was pushed"));
  }
  if (absl::Status status = Validate(options.consistency, options.worker_count); !status.ok()) return status;
  return Validate(options.optimizer);
}

namespace {

// A training that never came to weights takes memory until the server ends.
constexpr size_t kMostForgotten = 8;
constexpr char kHowToGrow[] =
    ": a run never has more workers than its servers' --workers. To let some come later, begin it with as many as "
    "there "
    "may ever be, and with --min_workers and --start_timeout";

// Of a bucket of buffers: the published ones become the workers' mean, in fp32.
void AverageOnly(BucketOptions* options) {
  options->optimizer = OptimizerOptions();
  options->optimizer.lr.base = 1;
  options->optimizer.momentum = 0;
  options->publish = CompressorOptions();
  options->publish.ratio = 1;
  options->publish.value_encoding = ValueEncoding::kFp32;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Shard::Space>> Shard::MakeSpace(const ParameterLayout& layout) const {
  absl::StatusOr<ShardMap> map = ShardMap::Create(layout.bucket_count(), options_.shard_count);
  if (!map.ok()) return map.status();
  const BucketRun run = map->run(options_.shard);
  const uint64_t parameters = layout.bucket_range(run.end - 1).end - layout.bucket_range(run.begin).begin;
  if (parameters > options_.max_parameters) {
    return absl::InvalidArgumentError(absl::StrCat("this shard would hold ", parameters, " parameters, more than its ",
                                                   "--max_parameters=", options_.max_parameters,
                                                   ": raise it or use more servers"));
  }
  // A bucket and its workers' places take memory by themselves, as much as this many parameters.
  const uint64_t of_a_bucket = 256 + uint64_t{16} * options_.worker_count;
  if (const uint64_t buckets = run.end - run.begin;
      buckets > 1 && of_a_bucket * buckets > options_.max_parameters - parameters) {
    return absl::InvalidArgumentError(
        absl::StrCat("this shard would hold ", buckets, " buckets, each of which takes as much memory as ", of_a_bucket,
                     " parameters besides its own: more than its --max_parameters=", options_.max_parameters,
                     " in all: raise the workers' --bucket_bytes, or it, or use more servers"));
  }
  auto space = std::make_unique<Space>(Space{layout, run, {}, {}, std::vector<uint64_t>(run.end - run.begin)});
  const BucketOptions of_parameters = {run.begin,
                                       options_.worker_count,
                                       options_.consistency,
                                       options_.optimizer,
                                       options_.publish,
                                       options_.log_versions,
                                       options_.durability != Durability::kVersion};
  for (uint32_t bucket = run.begin; bucket < run.end; ++bucket) {
    BucketOptions bucket_options = of_parameters;
    bucket_options.bucket = bucket;
    for (const ElementRange& range : layout.SmallTensorRanges(bucket, options_.small_tensor_elements)) {
      bucket_options.publish.always_sent.push_back(
          {static_cast<uint32_t>(range.begin), static_cast<uint32_t>(range.end)});
    }
    if (layout.bucket_kind(bucket) == TensorKind::kBuffer) AverageOnly(&bucket_options);
    absl::StatusOr<std::unique_ptr<BucketState>> state =
        BucketState::Create(layout.bucket_length(bucket), bucket_options);
    if (!state.ok()) return state.status();
    space->buckets.push_back(*std::move(state));
  }
  return space;
}

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

absl::Status Shard::CheckCall(uint32_t rank, uint64_t incarnation, uint64_t view) {
  const absl::StatusOr<bool> contributes = membership_.TouchContributor(rank, incarnation);
  if (!contributes.ok()) return contributes.status();
  if (!*contributes) {
    MutexLock lock(join_mutex_);
    LetIn(rank);
  }
  // An older view is fine: rounds follow the server's own list. A later one was never told by this server's state.
  const bool may_go_back = journal_ != nullptr && options_.durability != Durability::kVersion;
  if (const uint64_t newest = membership_.view(); view > newest && !may_go_back) {
    return absl::FailedPreconditionError(
        absl::StrCat("view ", view, " is later than this server's, ", newest,
                     ": it has lost its state; start it with the --state_dir that it had, or all workers anew"));
  }
  return absl::OkStatus();
}

void Shard::Push(uint32_t bucket, const Contribution& contribution, ExchangeDone done) {
  const Space* space = this->space();
  if (space == nullptr) return done(absl::FailedPreconditionError("no worker has joined yet"));
  if (!space->run.contains(bucket)) {
    done(absl::InvalidArgumentError(absl::StrCat("bucket ", bucket, " is not of this server, which owns [",
                                                 space->run.begin, ", ", space->run.end, ")")));
    return;
  }
  BucketState& state = space->at(bucket);
  if (draining_.load(std::memory_order_acquire) && !state.is_waiting()) {
    done(draining_why_);
    return;
  }
  if (contribution.replica_crc32c.has_value()) {
    done = [this, bucket, rank = contribution.rank, step = contribution.step,
            done = std::move(done)](absl::StatusOr<ExchangeAnswer> answer) {
      if (answer.ok() && answer->replica_differed) {
        metrics_.replica_mismatches.Increment();
        spdlog::error(
            "event=replica_differs rank={} bucket={} step={} reason=\"its weights were not the published ones: check "
            "that machine's memory; it now gets the weights whole\"",
            rank, bucket, step);
      }
      done(std::move(answer));
    };
  }
  if (const std::optional<RoundTiming> timing = state.Exchange(contribution, std::move(done)); timing.has_value()) {
    metrics_.NoteRound(*timing);
  }
}

void Shard::CallTotals::Add(uint64_t push_step, uint64_t push_bytes, const absl::StatusOr<ExchangeAnswer>& answer) {
  if (!answer.ok()) {
    ++errors;
    return;
  }
  ++answered;
  repeated += answer->repeated ? 1 : 0;
  step = std::max(step, push_step);
  received_bytes += push_bytes;
  sent_bytes += answer->bytes();
}

void Shard::NoteCall(uint32_t rank, const CallTotals& totals) {
  if (totals.errors > 0) metrics_.exchange_errors.Increment(static_cast<double>(totals.errors));
  if (totals.repeated > 0) metrics_.repeated_exchanges.Increment(static_cast<double>(totals.repeated));
  if (totals.answered == 0) return;
  membership_.NoteContribution(rank, totals.step, totals.received_bytes, totals.sent_bytes);
  metrics_.NoteExchanges(totals.answered, totals.received_bytes, totals.sent_bytes);
}

void Shard::Exchange(uint64_t incarnation, uint64_t view, uint32_t bucket, const Contribution& contribution,
                     ExchangeDone done) {
  const uint32_t rank = contribution.rank;
  ExchangeDone noted = [this, rank, step = contribution.step, bytes = contribution.update.size(),
                        done = std::move(done)](absl::StatusOr<ExchangeAnswer> answer) {
    CallTotals totals;
    totals.Add(step, bytes, answer);
    NoteCall(rank, totals);
    done(std::move(answer));
  };
  if (const absl::Status status = CheckCall(rank, incarnation, view); !status.ok()) return noted(status);
  Push(bucket, contribution, std::move(noted));
}

void Shard::Retire(uint32_t rank) {
  const Space* space = this->space();
  if (space == nullptr) return;
  for (const auto& bucket : space->buckets) {
    if (const std::optional<RoundTiming> timing = bucket->Retire(rank); timing.has_value()) {
      metrics_.NoteRound(*timing);
    }
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

void Shard::WhenSynced(std::function<void(const absl::Status&)> then) {
  if (journal_ == nullptr) return then(absl::OkStatus());
  journal_->WhenDurable(journal_->position(), std::move(then));
}

absl::Status Shard::Sync() { return journal_ == nullptr ? absl::OkStatus() : journal_->WaitForAll(); }

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
      // As if they had come, contributed nothing to the first step, and left.
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
  NoteMemberChanges();
  return lost;
}

ShardStatus Shard::status() const {
  ShardStatus status;
  status.view = view();
  status.members = membership_.members();
  const Space* space = this->space();
  if (space == nullptr) return status;
  status.buckets = space->run;
  status.parameters = space->layout.parameter_elements();
  status.min_version = UINT64_MAX;
  for (uint32_t i = 0; i < space->buckets.size(); ++i) {
    const auto& bucket = space->buckets[i];
    const uint64_t version = bucket->version();
    status.min_version = std::min(status.min_version, version);
    status.max_version = std::max(status.max_version, version);
    if (space->layout.bucket_kind(space->run.begin + i) == TensorKind::kParameter) {
      status.shard_parameters += bucket->length();
    }
    status.log_bytes += bucket->log_bytes();
    BucketState::Waiting waiting = bucket->waiting();
    if (waiting.since < status.waiting.since) status.waiting = std::move(waiting);
  }
  if (journal_ != nullptr) {
    status.journal_bytes = journal_->bytes();
    const absl::Status failed = journal_->status();
    status.trouble = std::string(failed.ok() ? journal_->full().message() : failed.message());
  }
  status.snapshot_bytes = snapshot_bytes_;
  MutexLock lock(waiting_mutex_);
  waiting_ = status.waiting;
  return status;
}

BucketState::Waiting Shard::waiting() const {
  MutexLock lock(waiting_mutex_);
  return waiting_;
}

uint32_t Shard::Checksum() const {
  uint32_t crc = 0;
  if (const Space* space = this->space(); space != nullptr) {
    for (const auto& bucket : space->buckets) crc = bucket->Checksum(crc);
  }
  return crc;
}

std::optional<BucketRun> Shard::buckets() const {
  const Space* space = this->space();
  return space == nullptr ? std::nullopt : std::optional(space->run);
}

std::optional<ParameterLayout> Shard::layout() const {
  const Space* space = this->space();
  return space == nullptr ? std::nullopt : std::optional(space->layout);
}

void Shard::Read(uint32_t bucket, uint64_t held, ReadDone done) {
  absl::StatusOr<PublishedWeights> weights = ReadNow(bucket, held);
  if (!weights.ok()) return done(std::move(weights));
  // Nobody shall hold a version that a crash could take back.
  WhenSynced([done = std::move(done),
              read = std::make_shared<PublishedWeights>(*std::move(weights))](const absl::Status& synced) {
    if (synced.ok()) {
      done(std::move(*read));
    } else {
      done(synced);
    }
  });
}

absl::StatusOr<PublishedWeights> Shard::Read(uint32_t bucket, uint64_t held) {
  absl::StatusOr<PublishedWeights> weights = ReadNow(bucket, held);
  if (!weights.ok()) return weights;
  const absl::Status synced = Sync();
  if (!synced.ok()) return synced;
  return weights;
}

absl::StatusOr<PublishedWeights> Shard::ReadNow(uint32_t bucket, uint64_t held) const {
  const Space* space = this->space();
  if (space == nullptr) return absl::FailedPreconditionError("no worker has joined yet: there are no weights");
  if (!space->run.contains(bucket)) return absl::InvalidArgumentError("bucket is not of this server");
  PublishedWeights weights = space->at(bucket).Read(held);
  weights.bucket = bucket;
  if (weights.version == 0) return absl::FailedPreconditionError("the weights are not initialised yet");
  return weights;
}

void Shard::Drain(const absl::Status& why) {
  MutexLock lock(join_mutex_);
  closed_ = why;
  draining_why_ = why;
  draining_.store(true, std::memory_order_release);
}

void Shard::Close(const absl::Status& why) {
  {
    MutexLock lock(join_mutex_);
    closed_ = why;
  }
  if (const Space* space = this->space(); space != nullptr) {
    for (const auto& bucket : space->buckets) bucket->Close(why);
  }
  for (const auto& checkpoint : TakeCheckpoints(/*only_complete=*/false)) FinishCheckpoint(*checkpoint);
  if (journal_ == nullptr) return;
  if (const absl::Status status = journal_->WaitForAll(); !status.ok()) {
    spdlog::error("event=journal_not_synced reason=\"{}\"", std::string(status.message()));
  }
}

}  // namespace cddp
