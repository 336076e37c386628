#include "server/shard.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

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

// For a bucket of buffers: the published ones become the workers' mean, in fp32.
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
  // The memory of a bucket's own data and its workers' slots, in parameters.
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

void Shard::WhenSynced(std::function<void(const absl::Status&)> then) {
  if (journal_ == nullptr) return then(absl::OkStatus());
  journal_->WhenDurable(journal_->position(), std::move(then));
}

absl::Status Shard::Sync() { return journal_ == nullptr ? absl::OkStatus() : journal_->WaitForAll(); }

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
  // No reader may hold a version that a crash could take back.
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
