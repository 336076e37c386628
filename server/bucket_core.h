// One bucket on its server as a function: events go in, effects come out. No lock, clock, file or callback; the calls
// that wait are numbers. Given the same events in the same order, a new core is in the same state, bit for bit: live
// events and those of a journal are treated alike. server/bucket_state.h wraps it.
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
//
// With may_lose_versions a crash may take the bucket back, so that workers are ahead of it, in this bucket and not in
// others. In synchronous training such a contribution is held until the bucket is at its step, and rounds before that
// do not wait for its worker: otherwise one worker would wait here and another in a bucket that lost nothing, each for
// the other. If all workers are ahead of a bucket, it moves to the first of their steps at once. A worker that has its
// answer for a lost version may not come at all, and wait in another bucket for a worker that waits here: see
// SilentRanks. In the other modes, where no worker waits, a worker that is ahead gets the present weights. Values of
// lost versions at workers are replaced: their next answer holds the whole weights.

#ifndef SERVER_BUCKET_CORE_H_
#define SERVER_BUCKET_CORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/bytes/shared_bytes.h"
#include "common/codec/byte_io.h"
#include "common/codec/update_reader.h"
#include "common/compress/bucket_compressor.h"
#include "common/optimizer/optimizer.h"
#include "server/bucket_weights.h"
#include "server/consistency.h"
#include "server/replica_checks.h"
#include "server/step_record.h"
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

struct BucketOptions {
  uint32_t bucket = 0;  // index in the whole parameter space
  uint32_t worker_count = 1;
  ConsistencyOptions consistency;
  OptimizerOptions optimizer;
  CompressorOptions publish;
  uint64_t log_versions = 1;       // changes of at least so many versions are kept, however large
  bool may_lose_versions = false;  // a crash may take the bucket back: workers ahead of it are taken back, too
};

// The number of a waiting call, assigned by the layer above.
using CallNumber = uint64_t;

// What happens to a bucket.
struct Contribute {
  const Contribution& contribution;
  std::optional<CheckedUpdate> update;  // contribution.update, checked; none if that is empty
  CallNumber call = 0;
};
struct Admit {  // a new process holds the rank
  uint32_t rank = 0;
};
struct Retire {  // rounds no longer wait for the rank
  uint32_t rank = 0;
};
using BucketInput = std::variant<Contribute, Admit, Retire>;

// The effects of an event.
struct BucketEffects {
  struct Answer {
    CallNumber call = 0;
    absl::StatusOr<ExchangeAnswer> answer;
  };
  // A round that this event closed.
  struct Closed {
    bool refused = false;
    uint64_t staleness = 0;  // age in versions of the oldest base version that was counted
  };
  std::vector<Answer> answers;
  std::optional<Closed> closed;
};

// Not thread-safe.
class BucketCore {
 public:
  // `length`: elements of the bucket. Starts at version 0 with zero weights; step 0 sets them. All workers are active.
  static absl::StatusOr<std::unique_ptr<BucketCore>> Create(uint32_t length, const BucketOptions& options);

  // Whether the input affects the results of later ones. Then it must be journalled, and answers wait for that.
  // Retries, invalid contributions and inputs after the end do not.
  bool Changes(const BucketInput& input) const;

  // Call it when all events of a journal have been applied; calls from `first_call` on are those of workers. With
  // may_lose_versions, workers may hold lost versions after the present one, whose numbers new versions will
  // get.
  void NoteRecovered(CallNumber first_call);

  // See BucketState's Exchange, Admit and Retire.
  BucketEffects Apply(const BucketInput& input);

  // The changes from a version that a reader holds to the present one, as runs (update_run.h), oldest first; nullopt if
  // the log lacks them, the version is ahead of this bucket, or they are longer than the weights.
  std::optional<std::vector<SharedBytes>> ChangesSince(uint64_t held) const;

  // Ends the bucket: answers every waiting call, and every later one, with `why`.
  BucketEffects End(const absl::Status& why);

  uint32_t length() const { return length_; }
  uint64_t version() const { return version_; }
  uint64_t log_bytes() const { return log_.bytes(); }
  uint64_t next_step(uint32_t rank) const { return slots_[rank].steps.next(); }
  const absl::Status& ended() const { return ended_; }  // OK until it has ended
  absl::Span<const float> published() const { return weights_->published(); }

  // Whether the open round has contributions.
  bool round_is_open() const { return contributed_ != 0; }
  // Whether the open round, or a waiting call, needs contributions of other workers.
  bool is_waiting() const;
  // Ranks that the open round still waits for; none if it is not open.
  std::vector<uint32_t> MissingRanks() const;
  // Where a crash may have taken the bucket back, and calls or a round wait here: active ranks that have contributed
  // nothing since the start. Empty before the first weights.
  std::vector<uint32_t> SilentRanks() const;

  // Everything on which later answers depend, as bytes, except the checksums of earlier versions' weights and the
  // answers that workers got since the start.
  // (bucket_core_save.cc)
  void Save(std::string* state) const;
  // Call it on a new core of the same length and options. DataLoss if the state does not fit such a bucket.
  absl::Status Load(absl::string_view state);

 private:
  struct Waiter {
    uint64_t step = 0;
    uint64_t base_version = 0;
    CallNumber call = 0;
    bool replica_differs = false;
    bool is_retry = false;            // its contribution had been counted before
    bool holds_lost_version = false;  // its base version is one that a crash took back, or may be
  };
  // A contribution to a step that the bucket has not reached yet, because a crash took it back.
  struct Ahead {
    Contribution contribution;
    std::optional<CheckedUpdate> update;
    std::vector<CallNumber> calls;
  };
  // The versions that a worker may hold. This is not saved.
  struct Lost {
    uint64_t told = 0;     // the last version in an answer to it since the start
    uint64_t version = 0;  // the newest that it has named and that is, or may be, lost
    bool none = false;     // it has continued from an answer since the start
  };
  // The state of a worker.
  struct Slot {
    bool active = true;
    StepRecord steps;
    uint64_t clock = 0;         // contributions counted
    bool last_refused = false;  // the round of its last contribution was refused
    float usual_weight = 0;     // of its last contribution with a weight; 0: none had one
    bool contributed = false;   // to the open round; the four members below belong to it
    bool non_finite = false;
    float weight = 0;                     // 0: its usual
    std::optional<CheckedUpdate> update;  // points into `bytes`; none: zero
    SharedBytes bytes;
    std::vector<Waiter> waiting;  // more than one after retries
    std::optional<Ahead> ahead;
    Lost lost;
    bool heard = false;  // whether it has contributed since the start; not saved

    // Whether the open round does not wait for it.
    bool is_there() const { return contributed || ahead.has_value(); }
  };

  BucketCore(uint32_t length, const BucketOptions& options, std::unique_ptr<BucketWeights> weights);

  bool IsSync() const { return options_.consistency.mode == Consistency::kSync; }
  bool RoundsAreShared() const { return IsSync() || version_ == 0; }
  // Whether the worker is ahead of a bucket that a crash has taken back.
  bool IsTakenBack(const Contribution& contribution) const;
  // Whether the contribution waits in its worker's slot already.
  bool IsHeld(const Contribution& contribution) const;
  // Parts of Save and Load: held contributions, and the version from which on workers may hold lost ones. Empty if no
  // crash has taken the bucket back.
  void SaveHeld(ByteWriter& to) const;
  absl::Status LoadHeld(ByteReader& from);
  BucketEffects TakeAhead(const Contribute& input);
  // Counts the contributions that were held until the bucket was where it is now.
  void TakeHeld();
  // Whether the contribution's base version is, or may be, one that a crash took back. Notes it.
  bool HoldsLostVersion(const Contribution& contribution);
  // Counts a contribution that fits the present version; `calls` wait for its answer.
  void Take(const Contribution& contribution, const std::optional<CheckedUpdate>& update,
            absl::Span<const CallNumber> calls);
  absl::Status Check(const Contribution& contribution) const;
  BucketEffects Take(const Contribute& input);
  void Take(const Admit& input);
  // Notes a contribution that has not been counted before.
  void Count(const Contribution& contribution, const std::optional<CheckedUpdate>& update);
  // The sum of all shares of the open round.
  double SumOfShares() const;
  bool RoundIsComplete() const;
  // If all active workers are ahead, moves to the first of their steps.
  void SkipToHeld();
  // Closes the open round if it is complete, and later ones that then are; then answers every call that is ready.
  void Advance(BucketEffects* effects);
  // The open round's contributions, in rank order, and their factors.
  BucketWeights::Round MakeRound() const;
  // Applies the open round and appends to the log.
  absl::Status CloseRound();
  bool MayGoOn(const Slot& slot, const Waiter& waiter) const;
  ExchangeAnswer WholeWeights();
  uint64_t AnsweredVersion(const Slot& slot, const Waiter& waiter) const;
  ExchangeAnswer AnswerFor(const Slot& slot, const Waiter& waiter);

  const uint32_t length_;
  const BucketOptions options_;
  const std::unique_ptr<BucketWeights> weights_;
  uint64_t version_ = 0;  // in sync mode also the step of the open round
  UpdateLog log_;
  ReplicaChecks checks_;
  SharedBytes snapshot_;     // published weights; empty until a call asks for them
  std::vector<float> late_;  // sum of contributions to rounds that had closed, each times its weight; empty: none
  std::vector<Slot> slots_;  // by rank
  uint32_t contributed_ = 0;
  uint64_t staleness_ = 0;             // largest since the last round closed
  std::optional<uint64_t> recovered_;  // see NoteRecovered: the smallest version then
  CallNumber first_call_ = 0;
  absl::Status ended_;
};

}  // namespace cddp

#endif  // SERVER_BUCKET_CORE_H_
