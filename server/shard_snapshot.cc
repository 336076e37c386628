// A shard's state on the disk while training goes on.

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/clock/steady_time.h"
#include "server/journal/snapshot.h"
#include "server/journal/state_folder.h"
#include "server/shard.h"
#include "server/shard_recovery.h"

namespace cddp {
namespace {

// Below this size a snapshot is not worth its syncs.
constexpr uint64_t kLeastSnapshotBytes = uint64_t{1} << 20;
// A snapshot is due when the journal is this many times as large as the last. Less costs training, more costs a longer
// start.
constexpr uint64_t kJournalPerSnapshot = 3;
// Limit of checkpoints that wait for their version: the caller may be gone, and the version may never come.
constexpr size_t kMostCheckpoints = 16;

}  // namespace

// Collects the buckets' states at one version. Thread-safe.
struct Shard::Checkpoint {
  Checkpoint(uint64_t version, size_t buckets, CheckpointDone done)
      : version(version), done(std::move(done)), states(buckets), left(buckets) {}

  void Take(size_t bucket, absl::StatusOr<std::string> state) {
    MutexLock lock(mutex);
    --left;
    if (!state.ok()) status.Update(state.status());
    if (status.ok()) states[bucket] = *std::move(state);
    if (!status.ok()) states.assign(states.size(), {});  // the checkpoint has failed
  }
  bool complete() {
    MutexLock lock(mutex);
    return left == 0;
  }

  const uint64_t version;
  const CheckpointDone done;
  Mutex mutex;
  std::vector<std::string> states;
  size_t left;
  absl::Status status;
};

BeginEvent Shard::Begin(const Space& space) const {
  return {DescribeForJournal(options_), SerializeLayout(space.layout)};
}

absl::Status Shard::AddBegin(const Space& space, const AgreementEvent& agreed, SnapshotWriter* writer) const {
  if (absl::Status status = AddTo(*writer, Begin(space)); !status.ok()) return status;
  if (const std::string run = run_.name(); !run.empty()) {
    if (absl::Status status = AddTo(*writer, RunEvent{run}); !status.ok()) return status;
  }
  return AddTo(*writer, agreed);
}

// Buckets are saved one after the other, each with the position of the last event that it holds; a start skips the
// bucket's events up to there. So the whole shard need not stop at any moment.
absl::Status Shard::SaveState(const Space& space, const SegmentHead& segment, const AgreementEvent& agreed,
                              const std::vector<Member>& members) {
  absl::StatusOr<std::unique_ptr<SnapshotWriter>> writer =
      SnapshotWriter::Create(options_.files, options_.state_dir, SnapshotName(segment.segment), segment);
  if (!writer.ok()) return writer.status();
  if (absl::Status status = AddBegin(space, agreed, writer->get()); !status.ok()) return status;
  std::string state;
  for (uint32_t i = 0; i < space.buckets.size(); ++i) {
    uint64_t position = 0;
    absl::Status status = space.buckets[i]->Save(&state, &position);
    if (status.ok()) status = AddTo(**writer, BucketEvent{space.run.begin + i, position, state});
    if (!status.ok()) return status;
  }
  for (const Member& member : members) {
    absl::Status status = AddTo(**writer, MemberEvent{member.rank, member.incarnation, member.state, member.view});
    if (!status.ok()) return status;
  }
  const absl::Status status = (*writer)->Commit();
  if (status.ok()) snapshot_bytes_ = (*writer)->bytes();
  return status;
}

absl::Status Shard::WriteSnapshot() {
  MutexLock lock(snapshot_mutex_);
  const Space* space = this->space();
  if (journal_ == nullptr || space == nullptr) return absl::OkStatus();
  const absl::Time begin = SteadyNow();
  absl::StatusOr<SegmentHead> segment = journal_->Rotate();
  absl::Status status = segment.status();
  std::vector<Member> members;
  AgreementEvent agreed;
  {
    // Before the buckets, and not within a Join: whatever a bucket then lacks or has besides is in the new segment. So
    // is the BeginEvent of a space that comes in the place of this one.
    MutexLock join_lock(join_mutex_);
    space = this->space();
    if (space == nullptr) return absl::OkStatus();  // that worker could not join
    members = membership_.members();
    agreed = Agreed();
  }
  if (status.ok()) status = SaveState(*space, *segment, agreed, members);
  if (status.ok()) status = journal_->RemoveBefore(segment->segment);
  metrics_.NoteSnapshot(SteadyNow() - begin, status.ok());
  if (status.ok()) {
    spdlog::info("event=snapshot segment={} bytes={} seconds={:.3f}", segment->segment, snapshot_bytes_.load(),
                 absl::ToDoubleSeconds(SteadyNow() - begin));
  }
  return status;
}

std::vector<std::shared_ptr<Shard::Checkpoint>> Shard::TakeCheckpoints(bool only_complete) {
  MutexLock lock(checkpoints_mutex_);
  const auto first = std::stable_partition(checkpoints_.begin(), checkpoints_.end(), [&](const auto& checkpoint) {
    return only_complete && !checkpoint->complete();
  });
  checkpoints_ended_ |= !only_complete;
  std::vector<std::shared_ptr<Checkpoint>> taken(first, checkpoints_.end());
  checkpoints_.erase(first, checkpoints_.end());
  return taken;
}

void Shard::WriteDueFiles() {
  if (journal_ == nullptr) return;
  if (options_.checkpoint_every > 0) ArmCheckpoint();
  for (const auto& checkpoint : TakeCheckpoints(/*only_complete=*/true)) FinishCheckpoint(*checkpoint);
  const uint64_t due = options_.snapshot_bytes != 0
                           ? options_.snapshot_bytes
                           : std::max(kLeastSnapshotBytes, kJournalPerSnapshot * snapshot_bytes_.load());
  if (journal_->bytes() < due || !journal_->status().ok()) return;
  if (const absl::Status status = WriteSnapshot(); !status.ok() && !absl::IsUnavailable(status)) {
    spdlog::error("event=snapshot_failed reason=\"{}; the journal goes on\"", std::string(status.message()));
  }
}

void Shard::WriteCheckpoint(uint64_t version, CheckpointDone done) {
  const Space* space = this->space();
  if (journal_ == nullptr || space == nullptr || version == 0) {
    done(absl::FailedPreconditionError(
        journal_ == nullptr ? "this server keeps nothing on disk: start it with --state_dir"
                            : "there are no weights yet: no worker has joined, or version 0 was asked for"));
    return;
  }
  bool too_many;
  {
    MutexLock lock(checkpoints_mutex_);
    too_many = checkpoints_.size() >= kMostCheckpoints;
  }
  if (too_many) {
    done(absl::ResourceExhaustedError(absl::StrCat(kMostCheckpoints, " checkpoints wait for their versions already")));
    return;
  }
  auto checkpoint = std::make_shared<Checkpoint>(version, space->buckets.size(), std::move(done));
  for (size_t i = 0; i < space->buckets.size(); ++i) {
    const absl::Status status = space->buckets[i]->SaveAt(
        version, [checkpoint, i](absl::StatusOr<std::string> state) { checkpoint->Take(i, std::move(state)); });
    if (!status.ok()) checkpoint->Take(i, status);
  }
  {
    MutexLock lock(checkpoints_mutex_);
    if (!checkpoints_ended_) {
      checkpoints_.push_back(std::move(checkpoint));
      return;
    }
  }
  checkpoint->done(absl::UnavailableError("the server is ending"));
}

absl::Status Shard::RemoveCheckpointsAfter(uint64_t version) {
  const absl::StatusOr<StateFolder> found = ListStateFolder(*options_.files, options_.state_dir);
  if (!found.ok()) return found.status();
  for (auto later = found->checkpoints.upper_bound(version); later != found->checkpoints.end(); ++later) {
    absl::Status status = options_.files->Remove(options_.state_dir, CheckpointName(*later));
    if (!status.ok()) return status;
  }
  return options_.files->SyncFolder(options_.state_dir);
}

void Shard::ArmCheckpoint() {
  const Space* space = this->space();
  if (space == nullptr) return;
  uint64_t newest = 0;
  for (const auto& bucket : space->buckets) newest = std::max(newest, bucket->version());
  if (newest < armed_) return;
  armed_ = (newest / options_.checkpoint_every + 1) * options_.checkpoint_every;
  WriteCheckpoint(armed_, [version = armed_.load()](const absl::Status& status) {
    if (!status.ok() && !absl::IsUnavailable(status)) {
      spdlog::error("event=checkpoint_failed version={} reason=\"{}\"", version, std::string(status.message()));
    }
  });
}

void Shard::FinishCheckpoint(Checkpoint& checkpoint) {
  absl::Status status = checkpoint.status;
  if (status.ok()) status = SaveCheckpoint(checkpoint);
  if (status.ok()) spdlog::info("event=checkpoint version={}", checkpoint.version);
  checkpoint.done(status);
}

absl::Status Shard::SaveCheckpoint(const Checkpoint& checkpoint) {
  const Space& space = *this->space();
  absl::StatusOr<std::unique_ptr<SnapshotWriter>> writer =
      SnapshotWriter::Create(options_.files, options_.state_dir, CheckpointName(checkpoint.version), SegmentHead());
  if (!writer.ok()) return writer.status();
  AgreementEvent agreed;
  {
    MutexLock lock(join_mutex_);
    agreed = Agreed();
  }
  absl::Status status = AddBegin(space, agreed, writer->get());
  for (uint32_t i = 0; i < space.buckets.size() && status.ok(); ++i) {
    status = AddTo(**writer, BucketEvent{space.run.begin + i, 0, checkpoint.states[i]});
  }
  // Its content has been or will be answered, so it must not be on the disk before the journal has it.
  if (status.ok()) status = journal_->WaitForAll();
  if (status.ok()) status = (*writer)->Commit();
  absl::StatusOr<StateFolder> found = status.ok() ? ListStateFolder(*options_.files, options_.state_dir) : status;
  if (!found.ok()) return found.status();
  for (size_t extra = found->checkpoints.size(); extra > options_.keep_checkpoints; --extra) {
    const uint64_t oldest = *found->checkpoints.begin();
    if (oldest == checkpoint.version) break;
    status = options_.files->Remove(options_.state_dir, CheckpointName(oldest));
    if (!status.ok()) return status;
    found->checkpoints.erase(found->checkpoints.begin());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SnapshotReader>> Shard::OpenCheckpoint(uint64_t version) const {
  if (journal_ == nullptr || space() == nullptr) {
    return absl::FailedPreconditionError("this server has no checkpoints: start it with --state_dir");
  }
  absl::StatusOr<std::unique_ptr<SnapshotReader>> reader =
      SnapshotReader::Open(*options_.files, options_.state_dir, CheckpointName(version));
  if (!absl::IsNotFound(reader.status())) return reader;
  const absl::StatusOr<StateFolder> found = ListStateFolder(*options_.files, options_.state_dir);
  return absl::NotFoundError(absl::StrCat("there is no checkpoint of version ", version,
                                          "; there are: ", found.ok() ? absl::StrJoin(found->checkpoints, ", ") : ""));
}

absl::StatusOr<std::optional<PublishedWeights>> Shard::ReadCheckpoint(SnapshotReader& reader) const {
  SharedBytes bytes;
  while (true) {
    const absl::StatusOr<bool> more = reader.Next(&bytes);
    if (!more.ok()) return more.status();
    if (!*more) return std::nullopt;
    SharedBytes left = bytes;
    ShardEvent event;
    if (absl::Status status = TakeEvent(&left, &event); !status.ok()) return reader.InFile(status);
    const auto* saved = std::get_if<BucketEvent>(&event);
    if (saved == nullptr) continue;
    if (!space()->run.contains(saved->bucket)) return absl::DataLossError("the checkpoint is of another server");
    absl::StatusOr<PublishedWeights> published =
        BucketState::PublishedOf(saved->state, space()->layout.bucket_length(saved->bucket));
    if (!published.ok()) return published.status();
    published->bucket = saved->bucket;
    return *std::move(published);
  }
}

}  // namespace cddp
