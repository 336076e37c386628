// One server's part of the parameter space: its buckets, their layout, and its members.

#ifndef SERVER_SHARD_H_
#define SERVER_SHARD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/agreement/agreement.h"
#include "common/layout/parameter_layout.h"
#include "common/layout/shard_map.h"
#include "common/optimizer/optimizer.h"
#include "common/sync/mutex.h"
#include "server/bucket_state.h"
#include "server/journal/journal.h"
#include "server/journal/snapshot.h"
#include "server/membership.h"
#include "server/run_keeper.h"
#include "server/server_metrics.h"
#include "server/shard_events.h"

namespace cddp {

struct ShardOptions {
  uint32_t shard = 0;
  uint32_t shard_count = 1;
  uint32_t worker_count = 1;
  absl::Duration lease = absl::Seconds(10);
  ConsistencyOptions consistency;
  OptimizerOptions optimizer;
  CompressorOptions publish;                    // encoding of the published weights' changes; ratio 1: dense
  uint64_t small_tensor_elements = 0;           // tensors smaller than this are published whole
  uint64_t max_parameters = uint64_t{1} << 31;  // largest shard for which this server allocates memory
  uint64_t log_versions = 1;                    // see BucketOptions
  std::string state_dir;                        // folder of the journal; empty: a restart loses everything
  Durability durability = Durability::kVersion;
  uint64_t snapshot_bytes = 0;    // journal bytes after which a snapshot is made; 0: by the last one's size
  uint64_t restore_version = 0;   // go back, once, to the checkpoint of this version; 0: continue at the journal's end
  uint64_t checkpoint_every = 0;  // versions between two checkpoints; 0: only requested ones
  uint32_t keep_checkpoints = 3;  // number of newest checkpoints to keep
  std::string run;                // name of the run; empty: the state's, or the first workers'
  bool resume = false;            // state_dir must hold a run
  bool begin_anew = false;        // see RunKeeper
  // How long the first step waits for missing workers; then it is made without them, or not at all if there are fewer
  // than min_workers (0: all).
  absl::Duration start_timeout = absl::InfiniteDuration();
  uint32_t min_workers = 0;
  FileLayer* files = &PosixFiles();  // for tests
};

// InvalidArgument naming the flag that makes no sense.
absl::Status Validate(const ShardOptions& options);

// The status for people; see StatusResponse in the proto.
struct ShardStatus {
  std::optional<BucketRun> buckets;  // none before the first Join
  uint64_t parameters = 0;
  uint64_t shard_parameters = 0;
  uint64_t min_version = 0;
  uint64_t max_version = 0;
  uint64_t log_bytes = 0;
  uint64_t journal_bytes = 0;   // of the segment that is being written; 0 without a journal
  uint64_t snapshot_bytes = 0;  // of the newest snapshot; 0: none
  uint64_t view = 0;            // see Shard::view
  std::vector<Member> members;
  BucketState::Waiting waiting;  // of the round open longest
  std::string trouble;           // the journal's; empty: none
};

// Thread-safe. Who takes part is in shard_members.cc.
class Shard {
 public:
  // `metrics` must outlive the shard. `options` must be valid.
  Shard(const ShardOptions& options, ServerMetrics* metrics)
      : options_(options),
        metrics_(*metrics),
        membership_(options.worker_count, options.lease),
        run_(options.begin_anew) {}

  const ShardOptions& options() const { return options_; }

  // Call it once, before all other functions. Opens the journal in options().state_dir, if that is given, and continues
  // at its end or at a checkpoint. Errors of Journal::Open; FailedPrecondition if it was written under other flags,
  // saying which. (shard_recovery.cc)
  absl::Status Recover();

  // Writes a snapshot of the present state and removes the journal before it, while training goes on. OK without a
  // journal, and before the first Join. One at a time. (shard_snapshot.cc)
  absl::Status WriteSnapshot();
  // Writes the files that are due: a snapshot when the journal has grown enough, checkpoints whose states are complete.
  // A thread calls it periodically.
  void WriteDueFiles();

  // Writes a checkpoint of the state in which every bucket is at `version`, as soon as all have been there; `done` is
  // called once it is durable, from the thread of WriteDueFiles, or with an error: FailedPrecondition if a bucket is
  // past that version or there is no --state_dir, ResourceExhausted if too many others wait. The states are kept in
  // memory until all are there.
  using CheckpointDone = std::function<void(const absl::Status&)>;
  void WriteCheckpoint(uint64_t version, CheckpointDone done);
  // The published weights of a checkpoint. NotFound, with the existing versions, if there is none of that version.
  absl::StatusOr<std::unique_ptr<SnapshotReader>> OpenCheckpoint(uint64_t version) const;
  // Its buckets one after the other, in order; none at the end. Errors of SnapshotReader::Next.
  absl::StatusOr<std::optional<PublishedWeights>> ReadCheckpoint(SnapshotReader& reader) const;

  struct JoinResult {
    BucketRun buckets;
    uint64_t version = 0;    // smallest of the shard's buckets
    std::string run;         // that the server holds; empty: none yet
    uint64_t next_step = 0;  // steps below it have been counted from this rank
  };
  // The first worker's layout, settings (common/agreement) and run are the cluster's, from the first contribution on:
  // before, a worker that joins alone may have others. Memory for the buckets is taken here. InvalidArgument for others
  // (saying what differs) or a layout that this server cannot hold; errors of RunKeeper::Join and Membership::Join;
  // Unavailable while another worker holds the rank, if the joiner does not know the run. `done` is called once it is
  // durable, or with the error: from this thread or the journal's, so it must not block. No call with a `done` waits
  // for a disk.
  using JoinDone = std::function<void(absl::StatusOr<JoinResult>)>;
  void Join(uint32_t rank, uint64_t incarnation, uint32_t worker_count, const ParameterLayout& layout,
            absl::string_view settings, const RunIdentity& run, const JoinDone& done);
  // The same, but waits.
  absl::StatusOr<JoinResult> Join(uint32_t rank, uint64_t incarnation, uint32_t worker_count,
                                  const ParameterLayout& layout, absl::string_view settings = {},
                                  const RunIdentity& run = {});

  // Checks the run of a joined worker's call, see RunKeeper::CheckCall.
  absl::Status CheckRun(absl::string_view run);
  std::string run() const { return run_.name(); }  // empty: none
  std::string agreement();                         // the workers' settings; empty: none has joined

  // A call with pushes has three parts, so that the work per call is done once: CheckCall, then Push for each push, and
  // NoteCall when all are answered.
  //
  // Does the process hold the rank, and was the view ever told? Notes that the worker lives, and takes part.
  absl::Status CheckCall(uint32_t rank, uint64_t incarnation, uint64_t view);
  // See BucketState::Exchange; `bucket` counts in the whole parameter space.
  void Push(uint32_t bucket, const Contribution& contribution, ExchangeDone done);
  // The totals of a call's pushes, for metrics and `cddp status`.
  struct CallTotals {
    uint64_t answered = 0;
    uint64_t errors = 0;
    uint64_t repeated = 0;
    uint64_t step = 0;  // the largest
    uint64_t received_bytes = 0;
    uint64_t sent_bytes = 0;

    void Add(uint64_t push_step, uint64_t push_bytes, const absl::StatusOr<ExchangeAnswer>& answer);
  };
  void NoteCall(uint32_t rank, const CallTotals& totals);

  // A call with one push.
  void Exchange(uint64_t incarnation, uint64_t view, uint32_t bucket, const Contribution& contribution,
                ExchangeDone done);

  // A process that has joined a running training begins to read its weights: rounds do not wait for it until it joins
  // once more, or contributes. Nothing happens if it has contributed already. FailedPrecondition if another process
  // holds the rank.
  absl::Status LetCatchUp(uint32_t rank, uint64_t incarnation);

  // Number of the newest view that a crash cannot take back, which workers are told.
  uint64_t view() const { return durable_view_.load(std::memory_order_acquire); }

  // The worker has finished or gives up; rounds continue without it. `done` as Join's.
  void Leave(uint32_t rank, uint64_t incarnation, bool finished, const std::function<void(const absl::Status&)>& done);
  // The same, waited for.
  absl::Status Leave(uint32_t rank, uint64_t incarnation, bool finished);

  // Calls `then` once all events so far are as durable as the options require, or with the journal's error if they will
  // not be. From this thread or the journal's; it must not block.
  void WhenSynced(std::function<void(const absl::Status&)> then);
  // The same, waited for.
  absl::Status Sync();

  // To be called now and then, with MonotonicNow: once the first step has waited for start_timeout since the first
  // worker came, it is made without those that are not there; returns them. FailedPrecondition, once, and every call
  // ends with it, if too few have come, or not worker 0, which has the initial weights.
  absl::StatusOr<std::vector<uint32_t>> BeginWithoutMissing(absl::Duration now);

  // Lets rounds continue without workers that were silent for longer than the lease; returns them. It also notes which
  // are back. In single buckets that a crash may have taken back, it also lets rounds continue without workers that
  // contribute to other buckets only. Call it more often than RunningTime::kStandstill.
  std::vector<uint32_t> RetireLost();

  Membership& membership() { return membership_; }

  ShardStatus status() const;
  // The same as in the last status().
  BucketState::Waiting waiting() const;

  // crc32c of the published weights, buckets in order; 0 before the first Join. Reads all of them.
  uint32_t Checksum() const;

  std::optional<BucketRun> buckets() const;
  std::optional<ParameterLayout> layout() const;  // likewise none before the first Join
  // The published weights of a bucket, of a version that no crash can take back, or what has changed since the version
  // that the reader holds (0: none). FailedPrecondition while there are none. `done` as that of Join.
  using ReadDone = std::function<void(absl::StatusOr<PublishedWeights>)>;
  void Read(uint32_t bucket, uint64_t held, ReadDone done);
  // The same, waited for.
  absl::StatusOr<PublishedWeights> Read(uint32_t bucket, uint64_t held = 0);

  // From now on accepts only calls that rounds under way need; others, and Join, get `why`. Call it once.
  void Drain(const absl::Status& why);

  // Answers every waiting and later Exchange with `why`; what has been journalled is durable when it returns.
  void Close(const absl::Status& why);

 private:
  // What the methods of these names do, but for the wait until it is durable.
  absl::StatusOr<JoinResult> JoinNow(uint32_t rank, uint64_t incarnation, uint32_t worker_count,
                                     const ParameterLayout& layout, absl::string_view settings, const RunIdentity& run);
  absl::Status LeaveNow(uint32_t rank, uint64_t incarnation, bool finished);
  absl::StatusOr<PublishedWeights> ReadNow(uint32_t bucket, uint64_t held) const;
  void Retire(uint32_t rank);
  void Retire(uint32_t rank, BucketState& bucket);
  void RetireFromBucketsTakenBack();
  // From now on rounds wait for a worker that was catching up.
  void LetIn(uint32_t rank) ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);

  // Set by the first Join; then read without a lock.
  struct Space {
    ParameterLayout layout;
    BucketRun run;
    std::vector<std::unique_ptr<BucketState>> buckets;
    std::vector<std::unique_ptr<BucketJournal>> journals;  // of the buckets; empty without --state_dir
    std::vector<uint64_t> loaded;  // by bucket: position of the last event that its snapshot holds
    BucketState& at(uint32_t bucket) const { return *buckets[bucket - run.begin]; }
  };

  // All that lie in `events`, from `position` on; returns how many.
  absl::StatusOr<uint64_t> Replay(SharedBytes events, uint64_t position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  absl::Status ReplayOne(const ShardEvent& event, uint64_t position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  absl::Status ReplayBegin(const BeginEvent& begin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  BeginEvent Begin(const Space& space) const;
  AgreementEvent Agreed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  std::vector<uint32_t> MissingRanks() const;  // that do not take part at present
  // Whether no other worker takes part at present.
  bool IsAlone(uint32_t rank) const;
  // Gives a change of what the workers have agreed on to the log and the journal.
  void AdoptAgreement(uint32_t rank, absl::string_view settings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  struct Checkpoint;
  void ArmCheckpoint();
  std::vector<std::shared_ptr<Checkpoint>> TakeCheckpoints(bool only_complete);
  void FinishCheckpoint(Checkpoint& checkpoint);
  absl::Status SaveCheckpoint(const Checkpoint& checkpoint);
  // The state from `segment` on, in a snapshot of that name.
  absl::Status SaveState(const Space& space, const SegmentHead& segment, const AgreementEvent& agreed,
                         const std::vector<Member>& members);
  // Adds the beginning of a snapshot or checkpoint: the settings and run of its state.
  absl::Status AddBegin(const Space& space, const AgreementEvent& agreed, SnapshotWriter* writer) const;
  bool HasBegun() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);  // whether there are weights
  // Checks that this process may join as that worker. If it brings the run's name, the server adopts it.
  absl::Status CheckProcess(uint32_t rank, uint64_t incarnation, const RunIdentity& run)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  // Checks that its settings and model equal those of the others. A worker that is alone before there are weights may
  // have different ones: then the space is dropped.
  absl::Status CheckTraining(uint32_t rank, const ParameterLayout& layout, absl::string_view settings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  // The first worker of a training joins.
  absl::Status Begin(uint32_t rank, uint64_t incarnation, const ParameterLayout& layout, absl::string_view settings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  uint64_t NextStep(uint32_t rank) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  // Checks --run against the recovered state. Makes it the server's run if there is none.
  absl::Status TakeGivenRun() ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  absl::Status RemoveCheckpointsAfter(uint64_t version);
  // Lets the buckets' events go to the journal.
  void Attach(Space* space);
  // Gives the members' changes to the log and the journal.
  void NoteMemberChanges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(join_mutex_);
  void RaiseDurableView(uint64_t view);

  absl::StatusOr<std::unique_ptr<Space>> MakeSpace(const ParameterLayout& layout) const;
  const Space* space() const { return published_space_.load(std::memory_order_acquire); }

  const ShardOptions options_;
  ServerMetrics& metrics_;
  Membership membership_;
  RunKeeper run_;

  Mutex join_mutex_;
  std::unique_ptr<Space> space_ ABSL_GUARDED_BY(join_mutex_);
  std::vector<std::unique_ptr<Space>> forgotten_ ABSL_GUARDED_BY(join_mutex_);  // calls may still refer to them
  WorkersAgreement agreement_ ABSL_GUARDED_BY(join_mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(join_mutex_);
  std::optional<absl::Duration> waits_since_ ABSL_GUARDED_BY(join_mutex_);  // see BeginWithoutMissing; none: not yet
  bool start_is_decided_ ABSL_GUARDED_BY(join_mutex_) = false;
  mutable Mutex waiting_mutex_;
  mutable BucketState::Waiting waiting_ ABSL_GUARDED_BY(waiting_mutex_);
  absl::Status draining_why_;  // set before draining_
  std::atomic<bool> draining_{false};
  std::atomic<const Space*> published_space_{nullptr};
  Mutex snapshot_mutex_;  // held while a snapshot is made
  std::atomic<uint64_t> snapshot_bytes_{0};
  std::atomic<uint64_t> durable_view_{0};
  Mutex checkpoints_mutex_;
  std::vector<std::shared_ptr<Checkpoint>> checkpoints_ ABSL_GUARDED_BY(checkpoints_mutex_);  // under way
  bool checkpoints_ended_ ABSL_GUARDED_BY(checkpoints_mutex_) = false;
  std::atomic<uint64_t> armed_{0};    // version of the newest checkpoint of checkpoint_every
  std::unique_ptr<Journal> journal_;  // null without --state_dir; last, for its thread makes calls into all the above
};

}  // namespace cddp

#endif  // SERVER_SHARD_H_
