// Wraps a bucket's core (server/bucket_core.h) with its lock, its clock, the journal, and the waiting calls.
//
// An event takes the lock, is noted in the journal if it changes anything, and is applied; the answers that follow from
// it are given without the lock, once the journal has made the events durable on which they depend.

#ifndef SERVER_BUCKET_STATE_H_
#define SERVER_BUCKET_STATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "server/bucket_core.h"

namespace cddp {

// Called exactly once, from the thread that makes the answer possible or ends the bucket.
using ExchangeDone = std::function<void(absl::StatusOr<ExchangeAnswer> answer)>;

// Makes a bucket's events durable. Given the same events in the same order, a new bucket is in the same state, bit for
// bit. Called under the bucket's lock, except WhenDurable.
class BucketJournal {
 public:
  virtual ~BucketJournal() = default;
  // Each returns the event's position.
  virtual uint64_t Counted(const Contribution& contribution) = 0;
  virtual uint64_t Admitted(uint32_t rank) = 0;
  virtual uint64_t Retired(uint32_t rank) = 0;
  // Calls `then` once all events up to `position` are durable, or with the error that prevents that.
  virtual void WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then) = 0;
};

struct PublishedWeights {
  uint32_t bucket = 0;  // in the whole parameter space
  uint64_t version = 0;
  std::vector<float> weights;
  // Changes since the version that the reader holds, as runs (update_run.h); with them `weights` is empty.
  std::optional<std::vector<SharedBytes>> changes = std::nullopt;
};

// Times of the round that a call has just closed, for metrics.
struct RoundTiming {
  absl::Duration open;       // from first to last contribution
  absl::Duration aggregate;  // sum, optimizer and publishing
  bool refused = false;
  uint64_t staleness = 0;  // age in versions of the oldest base version that was counted
};

// Thread-safe.
class BucketState {
 public:
  // `length`: elements of the bucket. Starts at version 0 with zero weights; step 0 sets them. All workers are active.
  static absl::StatusOr<std::unique_ptr<BucketState>> Create(uint32_t length, const BucketOptions& options);

  // From now on events go to `journal`, and an answer waits until all events on which it depends are durable. `journal`
  // must outlive the calls; null: none.
  void set_journal(BucketJournal* journal);

  // Takes one contribution and calls `done` when the consistency mode lets the worker continue, with the changes since
  // its base version (with may_lose_versions, the weights themselves if that version may be lost; see BucketCore). A
  // second contribution of one worker to a step is never counted; its call still gets the answer: in synchronous
  // training exactly the delta that answered the first one, so that a worker that repeats its last steps
  // passes through the same weights again. A contribution to a round that closed without it counts in the open one.
  // Returns timing if this call closed a round. Errors go to `done`: InvalidArgument for bad bytes, FailedPrecondition
  // for a step or base version that does not fit; both change nothing.
  std::optional<RoundTiming> Exchange(const Contribution& contribution, ExchangeDone done);

  // A new process holds `rank`, and rounds wait for it. In synchronous training, where steps are versions, the earlier
  // processes' contributions are still known; in the other modes its steps start again.
  void Admit(uint32_t rank);

  // Rounds no longer wait for `rank`; what it has contributed counts. It is active again when it contributes.
  std::optional<RoundTiming> Retire(uint32_t rank);

  // Ends the bucket: every waiting and every later call gets `why`.
  void Close(const absl::Status& why);

  // Call it once after a start, when all events of the journal have been applied.
  void NoteRecovered();

  uint32_t length() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return core_->length(); }  // it never changes
  uint64_t version() const;
  uint64_t log_bytes() const;

  // Steps below it have been counted from this rank, except those that it left out.
  uint64_t next_step(uint32_t rank) const;

  // Whether the open round, or a waiting call, needs contributions of other workers.
  bool is_waiting() const;

  // Ranks that the open round still waits for, and since when it has been open; empty if none is open.
  struct Waiting {
    std::vector<uint32_t> ranks;
    absl::Time since = absl::InfiniteFuture();
  };
  Waiting waiting() const;

  // Call it now and then. Where a crash may have taken the bucket back: the ranks that have contributed nothing since
  // the start, although others have waited here at one version for `patience`. They may have answers for lost versions
  // and wait in another bucket for those that wait here, so rounds of this bucket must continue without them.
  std::vector<uint32_t> RanksToRetire(absl::Duration patience);

  // Version and published weights or, if that is shorter, the changes since a version that the reader holds (0:
  // none).
  PublishedWeights Read(uint64_t held = 0) const;

  // crc32c of the published weights, continuing from `crc`.
  uint32_t Checksum(uint32_t crc) const;

  // Everything on which later answers depend, as bytes, and the position of the last event that it includes. A new
  // bucket of the same length and options that loads it continues bit for bit; only the checksums of earlier versions'
  // weights are lost. Returns the error that ended the bucket, if any.
  absl::Status Save(std::string* state, uint64_t* position) const;
  // Call it on a new bucket. DataLoss if the state does not fit it.
  absl::Status Load(absl::string_view state);
  // Calls `take` with the state at `version` as soon as the bucket has it; it must not block, and runs under the
  // bucket's lock. An error if the bucket ends before that. FailedPrecondition if the bucket is past it.
  using TakeState = std::function<void(absl::StatusOr<std::string> state)>;
  absl::Status SaveAt(uint64_t version, TakeState take);
  // The published weights in a saved state of a bucket of that length.
  static absl::StatusOr<PublishedWeights> PublishedOf(absl::string_view state, uint32_t length);

 private:
  // A call to make once the lock is released: done(answer).
  struct Reply {
    ExchangeDone done;
    absl::StatusOr<ExchangeAnswer> answer;
  };
  // The part of an event's work that is done without the lock.
  struct Outcome {
    std::vector<Reply> replies;
    std::optional<RoundTiming> timing;
    BucketJournal* journal = nullptr;
    uint64_t position = 0;  // on which the replies depend
  };

  explicit BucketState(std::unique_ptr<BucketCore> core) : core_(std::move(core)) {}

  // Gives the core an event, and notes what follows from it.
  Outcome Apply(const BucketInput& input) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Note(const BucketInput& input) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // in the journal
  std::vector<Reply> TakeReplies(std::vector<BucketEffects::Answer> answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives the replies once the events on which they depend are durable. Without the lock.
  static void Release(Outcome outcome);
  void MakeSaves() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // those whose version is reached

  mutable Mutex mutex_;
  const std::unique_ptr<BucketCore> core_ ABSL_PT_GUARDED_BY(mutex_);
  std::unordered_map<CallNumber, ExchangeDone> calls_ ABSL_GUARDED_BY(mutex_);  // that wait
  CallNumber next_call_ ABSL_GUARDED_BY(mutex_) = 1;
  BucketJournal* journal_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t journalled_ ABSL_GUARDED_BY(mutex_) = 0;                            // position of the last event
  absl::Time open_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();     // the open round
  absl::Time waits_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();    // see RanksToRetire
  uint64_t waits_at_ ABSL_GUARDED_BY(mutex_) = 0;                              // the version
  std::vector<std::pair<uint64_t, TakeState>> saves_ ABSL_GUARDED_BY(mutex_);  // requested, by version
};

}  // namespace cddp

#endif  // SERVER_BUCKET_STATE_H_
