// One bucket on its server: contributions, weights, and the changes that were published.
//
// Synchronous rounds: the round of step s is open until every active worker (or a quorum) has contributed; then the
// contributions, in rank order (never in order of arrival, so the result is the same bit for bit), change the weights
// (bucket_weights.h). Stale and asynchronous training apply each contribution as a round of its own; with W workers
// each then counts 1/W and publishes what it pushed, or 1/W of a fixed ratio, so that a step of all workers moves and
// costs as much as a synchronous one.
//
// Contributions may have weights. A worker's share of a round is the weight of its contribution or, where it has none
// in this round, its usual weight, that of its last one (of a worker that has not contributed yet, the mean of the
// others'); each contribution counts as its weight in the sum of all shares, of workers that are active or have
// contributed. So a full round makes sum(w g) / sum(w); one of a quorum leaves room for those that are late, and these
// count in a later round by their weight in that one's shares; and where each contribution is a round of its own, the
// steps of all workers together still make one step. Without weights every share is 1.

#ifndef SERVER_BUCKET_STATE_H_
#define SERVER_BUCKET_STATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/bytes/shared_bytes.h"
#include "common/codec/update_reader.h"
#include "common/compress/bucket_compressor.h"
#include "common/optimizer/optimizer.h"
#include "common/sync/mutex.h"
#include "server/bucket_weights.h"
#include "server/consistency.h"
#include "server/replica_checks.h"
#include "server/update_log.h"

namespace cddp {

struct ExchangeAnswer {
  uint64_t version = 0;
  std::vector<SharedBytes> updates;  // to be added one after the other; shared by all waiting calls
  bool replaces = false;             // `updates` is one dense update that holds the weights themselves
  bool refused = false;
  bool replica_differed = false;  // from the published weights: this answer replaces it
  bool repeated = false;          // the contribution had been counted before: a retry
  size_t bytes() const;
};

// Called exactly once, from the thread that makes the answer possible or ends the bucket.
using ExchangeDone = std::function<void(absl::StatusOr<ExchangeAnswer> answer)>;

// A worker's contribution to one step.
struct Contribution {
  uint32_t rank = 0;
  uint64_t step = 0;
  uint64_t base_version = 0;
  SharedBytes update;  // empty: zero; referred to until its round is closed
  bool non_finite = false;
  std::optional<uint32_t> replica_crc32c = std::nullopt;  // of the worker's replica at base_version
  // In the mean; none: 1, or the worker's usual share if `update` is empty.
  std::optional<float> weight = std::nullopt;
};

// Makes a bucket's events durable. Given the same events in the same order, a new bucket is in the same state, bit for
// bit. Called under the bucket's lock, but for WhenDurable.
class BucketJournal {
 public:
  virtual ~BucketJournal() = default;
  // Each returns the event's position.
  virtual uint64_t Counted(const Contribution& contribution) = 0;
  virtual uint64_t Admitted(uint32_t rank) = 0;
  virtual uint64_t Retired(uint32_t rank) = 0;
  // Calls `then` once all events up to `position` are durable, or with the error that keeps them from it.
  virtual void WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then) = 0;
};

struct BucketOptions {
  uint32_t bucket = 0;  // index in the whole parameter space
  uint32_t worker_count = 1;
  ConsistencyOptions consistency;
  OptimizerOptions optimizer;
  CompressorOptions publish;
  uint64_t log_versions = 1;       // changes of at least so many versions are kept, however large
  bool may_lose_versions = false;  // a crash may take the bucket back: workers ahead of it are taken back, too
};

struct PublishedWeights {
  uint32_t bucket = 0;  // in the whole parameter space
  uint64_t version = 0;
  std::vector<float> weights;
};

// What the round that a call has just closed cost, for metrics.
struct RoundTiming {
  absl::Duration open;       // from first to last contribution
  absl::Duration aggregate;  // sum, optimizer and publishing
  bool refused = false;
  uint64_t staleness = 0;  // versions that the oldest base version of what was counted lay behind
};

// Thread-safe.
class BucketState {
 public:
  // `length`: elements of the bucket. Starts at version 0 with zero weights; step 0 sets them. All workers are active.
  static absl::StatusOr<std::unique_ptr<BucketState>> Create(uint32_t length, const BucketOptions& options);

  // From now on events go to `journal`, and an answer waits until all that it rests on is durable. `journal` must
  // outlive the calls; null: none.
  void set_journal(BucketJournal* journal);

  // Takes one contribution and calls `done` when the consistency mode lets the worker go on, with the changes since its
  // base version (with may_lose_versions, the weights as they are if the worker is ahead of the bucket, and nothing is
  // counted). A second contribution of one worker to a step is never counted; its call gets the answer all the same: in
  // synchronous training the very change that the first one was told of, so that a worker that makes its last steps
  // once more passes through the same weights again. A contribution to a round that closed without it counts in the
  // open one. Returns timing if this call closed a round. Errors go to `done`: InvalidArgument for bad bytes,
  // FailedPrecondition for a step or base version that does not fit; both change nothing.
  std::optional<RoundTiming> Exchange(const Contribution& contribution, ExchangeDone done);

  // A new process holds `rank`, and rounds wait for it. In synchronous training, where steps are versions, what the
  // processes before it contributed is still known; in the other modes its steps count anew.
  void Admit(uint32_t rank);

  // Rounds no longer wait for `rank`; what it has contributed counts. It is active again when it contributes.
  std::optional<RoundTiming> Retire(uint32_t rank);

  // Ends the bucket: every waiting and every later call gets `why`.
  void Close(const absl::Status& why);

  uint32_t length() const { return length_; }
  uint64_t version() const;
  uint64_t log_bytes() const;

  // Steps below it have been counted from this rank, but for those that it left out.
  uint64_t next_step(uint32_t rank) const;

  // Does the open round, or a call that waits, need the contributions of others?
  bool is_waiting() const;

  // Ranks that the open round still waits for, and since when it has been open; empty if none is open.
  struct Waiting {
    std::vector<uint32_t> ranks;
    absl::Time since = absl::InfiniteFuture();
  };
  Waiting waiting() const;

  // Copies version and published weights.
  uint64_t Read(std::vector<float>* published) const;

  // crc32c of the published weights, continuing from `crc`.
  uint32_t Checksum(uint32_t crc) const;

  // All that later answers depend on, as bytes, and the position of the last event that it holds. A new bucket of the
  // same length and options that loads it goes on bit for bit; only the checksums of earlier versions' weights are
  // forgotten. The error that ended the bucket, if one has. (bucket_state_save.cc)
  absl::Status Save(std::string* state, uint64_t* position) const;
  // Of a new bucket. DataLoss if the state is not such a bucket's.
  absl::Status Load(absl::string_view state);
  // Calls `take` with the state at `version` as soon as the bucket is there; it must not block, and runs under the
  // bucket's lock. An error if the bucket ends before that. FailedPrecondition if the bucket is past it.
  using TakeState = std::function<void(absl::StatusOr<std::string> state)>;
  absl::Status SaveAt(uint64_t version, TakeState take);
  // The published weights in a saved state of a bucket of that length.
  static absl::StatusOr<PublishedWeights> PublishedOf(absl::string_view state, uint32_t length);

 private:
  struct Waiter {
    uint64_t step = 0;
    uint64_t base_version = 0;
    ExchangeDone done;
    bool replica_differs = false;
    bool is_retry = false;  // its contribution had been counted before
  };
  // Steps [begin, end) to which a worker did not contribute, because it was away.
  struct Gap {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  struct Slot {
    bool active = true;
    uint64_t next_step = 0;      // steps below it have been counted, but for the gaps
    std::vector<Gap> gaps;       // synchronous training only: the latest, ascending
    std::vector<uint64_t> late;  // likewise: steps whose round had closed, so that they counted in a later one
    uint64_t clock = 0;          // contributions counted
    bool last_refused = false;   // the round of its last contribution was refused
    float usual_weight = 0;      // of its last contribution that told; 0: none has
    bool contributed = false;    // to the open round, the four below
    bool non_finite = false;
    float weight = 0;                     // 0: its usual
    std::optional<CheckedUpdate> update;  // points into `bytes`; none: zero
    SharedBytes bytes;
    std::vector<Waiter> waiting;  // more than one after retries
  };
  // Calls to make once the lock is released: done(answer).
  struct Reply {
    ExchangeDone done;
    absl::StatusOr<ExchangeAnswer> answer;
  };

  // Makes the calls once the events up to `position` are durable. Without the lock.
  void Release(std::vector<Reply> replies, BucketJournal* journal, uint64_t position);

  BucketState(uint32_t length, const BucketOptions& options, std::unique_ptr<BucketWeights> weights);

  bool RoundsAreShared() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return options_.consistency.mode == Consistency::kSync || version_ == 0;
  }
  absl::Status Check(const Contribution& contribution) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  static bool IsCounted(const Slot& slot, uint64_t step);
  void NoteCounted(uint64_t step, Slot* slot) const;
  // Notes a contribution that has not been counted before, and whose update has been checked.
  void Count(const Contribution& contribution, const std::optional<CheckedUpdate>& update)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The sum of all shares of the open round.
  double SumOfShares() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool RoundIsComplete() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Closes the open round if it is complete, then moves every call that may go on from its slot to `replies`.
  std::optional<RoundTiming> Advance(std::vector<Reply>* replies) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The open round's contributions, in rank order, and how much each counts.
  BucketWeights::Round MakeRound() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Applies the open round and appends to the log.
  absl::Status CloseRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayGoOn(const Slot& slot, const Waiter& waiter) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void SaveLocked(std::string* state) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void MakeSaves() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // those whose version has come
  ExchangeAnswer WholeWeights() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t AnsweredVersion(const Slot& slot, const Waiter& waiter) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  ExchangeAnswer AnswerFor(const Slot& slot, const Waiter& waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint32_t length_;
  const BucketOptions options_;

  mutable Mutex mutex_;
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;  // in sync mode also the step of the open round
  const std::unique_ptr<BucketWeights> weights_ ABSL_PT_GUARDED_BY(mutex_);
  UpdateLog log_ ABSL_GUARDED_BY(mutex_);
  ReplicaChecks checks_ ABSL_GUARDED_BY(mutex_);
  SharedBytes snapshot_ ABSL_GUARDED_BY(mutex_);  // published weights; empty until a call asks for them
  // Sum of contributions to rounds that had closed, each times its weight; empty: none.
  std::vector<float> late_ ABSL_GUARDED_BY(mutex_);
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // by rank
  BucketJournal* journal_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t journalled_ ABSL_GUARDED_BY(mutex_) = 0;  // position of the last event
  uint32_t contributed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::pair<uint64_t, TakeState>> saves_ ABSL_GUARDED_BY(mutex_);  // asked for, by version
  uint64_t staleness_ ABSL_GUARDED_BY(mutex_) = 0;                             // largest since the last round closed
  absl::Time open_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // SERVER_BUCKET_STATE_H_
