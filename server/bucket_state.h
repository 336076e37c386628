// One bucket on its server: the open round, the weights, and the answer of the last version.
//
// Synchronous rounds: a round of step s is open until every worker of the view has contributed; then the contributions
// are summed in rank order (never in order of arrival, so the result is the same bit for bit), the mean goes through
// the optimizer, and the change is published through the same error-feedback compressor that the workers use. The
// answer is encoded once; every worker gets the same bytes.
//
// True weights are kept as published + residual: what workers hold plus what they have not been told yet.

#ifndef SERVER_BUCKET_STATE_H_
#define SERVER_BUCKET_STATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/compress/bucket_compressor.h"
#include "server/optimizer.h"

namespace cddp {

struct ExchangeAnswer {
  uint64_t version = 0;
  std::shared_ptr<const std::string> update;  // never null; shared by all waiting calls
  bool refused = false;
};

// Called exactly once, from the thread that completes the round or ends the bucket.
using ExchangeDone = std::function<void(const absl::StatusOr<ExchangeAnswer>&)>;

// A worker's contribution to one step. `update` must stay valid until `done` has been called.
struct Contribution {
  uint32_t rank = 0;
  uint64_t step = 0;
  uint64_t base_version = 0;
  absl::string_view update;  // empty: zero
  bool non_finite = false;
};

struct BucketOptions {
  uint32_t worker_count = 1;
  SgdOptions sgd;
  CompressorOptions publish;
};

// What the round that a call has just closed cost, for metrics.
struct RoundTiming {
  absl::Duration open;       // from first to last contribution
  absl::Duration aggregate;  // sum, optimizer and publishing
  bool refused = false;
};

// Thread-safe.
class BucketState {
 public:
  // `length`: elements of the bucket. Starts at version 0 with zero weights; step 0 sets them.
  static absl::StatusOr<std::unique_ptr<BucketState>> Create(uint32_t length, const BucketOptions& options);

  // Takes one contribution and calls `done` when its round is complete, at once if it is a retry of the last version's.
  // A second contribution of one worker to a step is never counted; its call gets the answer all the same. Returns
  // timing if this call closed the round. Errors go to `done`: InvalidArgument for bad bytes, FailedPrecondition for a
  // step or base version that does not fit; both change nothing.
  std::optional<RoundTiming> Exchange(const Contribution& contribution, ExchangeDone done);

  // Ends the bucket: every waiting and every later call gets `why`.
  void Close(const absl::Status& why);

  uint32_t length() const { return length_; }
  uint64_t version() const;

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

 private:
  struct Slot {
    bool contributed = false;
    Contribution contribution;
    std::vector<ExchangeDone> waiting;  // more than one after retries
  };

  BucketState(uint32_t length, const BucketOptions& options, std::unique_ptr<BucketCompressor> publisher);

  absl::Status Check(const Contribution& contribution) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Applies the complete round and makes `last_answer_`.
  absl::Status CloseRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SumContributions(absl::Span<float> sum) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const uint32_t length_;
  const BucketOptions options_;

  mutable absl::Mutex mutex_;
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;  // also the step of the open round
  std::vector<float> published_ ABSL_GUARDED_BY(mutex_);
  std::vector<float> residual_ ABSL_GUARDED_BY(mutex_);
  SgdOptimizer optimizer_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<BucketCompressor> publisher_ ABSL_GUARDED_BY(mutex_);
  std::vector<Slot> slots_ ABSL_GUARDED_BY(mutex_);  // by rank
  uint32_t contributed_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time open_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  ExchangeAnswer last_answer_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // SERVER_BUCKET_STATE_H_
