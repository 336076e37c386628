// Decides the next actions of a training step: which bucket is encoded, which are pushed together, which replies are
// applied, and the treatment of gradients that are not finite. A pure state machine: no thread, no clock, no network,
// no memory of the model. Events go in, actions come out; its caller performs them (gradient_exchange.cc) or simulates
// them (tests).
//
// Buckets are pushed in descending order, the order in which the backward pass completes them, whatever the order in
// which their encodings complete. So the pushes depend on the gradients alone. If the gradient of a bucket is not
// finite, that bucket and all after it are pushed as marks: these buckets' rounds are skipped at all workers alike.
// Those after it are still encoded and taken back, so that their finite values stay in the residual, as at the other
// workers, regardless of the number of encodings that an engine makes at a time.

#ifndef WORKER_EXCHANGE_STEP_DRIVER_H_
#define WORKER_EXCHANGE_STEP_DRIVER_H_

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/shared_bytes.h"
#include "common/layout/parameter_layout.h"
#include "common/transport/exchange_message.h"
#include "worker/exchange/bucket_engine.h"
#include "worker/exchange/push_batch.h"

namespace cddp {

// Actions, in the order in which they are to be begun.
struct BeginGradients {  // before the first encoding of a step
  uint64_t step = 0;
};
struct EncodeBucket {  // to be answered by Encoded
  uint32_t bucket = 0;
  bool with_checksum = false;
};
struct PushBuckets {  // one call; to be answered by Answered for each bucket
  std::vector<Push> pushes;
};
struct TakeBackUpdate {  // it was encoded and will not be pushed
  uint32_t bucket = 0;
  SharedBytes update;
};
struct ApplyReply {  // to be answered by Applied
  uint32_t bucket = 0;
  PushReply reply;
  SharedBytes pushed;  // the gradient's update that this answers; empty: a mark
};
using StepAction = std::variant<BeginGradients, EncodeBucket, PushBuckets, TakeBackUpdate, ApplyReply>;

// The constants of a run.
struct StepRules {
  std::vector<uint32_t> server_of;    // by bucket
  bool is_sync = true;                // see Cluster
  bool needs_whole_gradient = false;  // see BucketEngine
  uint32_t most_encodings = 1;        // likewise
};

// The results of a step.
struct StepCounts {
  uint64_t pushed_bytes = 0;  // encoded updates; headers of gRPC and TCP not counted
  uint64_t pulled_bytes = 0;
  uint64_t selected = 0;   // elements pushed
  double residual_sq = 0;  // sum of squares of the residual
  bool refused = false;    // a gradient somewhere was not finite: its buckets stay unchanged
  uint32_t replaced = 0;   // buckets whose weights came whole
};

// Not thread-safe.
class StepDriver {
 public:
  StepDriver(const ParameterLayout& layout, StepRules rules);

  // Number of the coming step, from 1. In synchronous training it is the largest version of the replica, so it runs
  // ahead when rounds close without this worker.
  uint64_t step() const { return step_; }
  void set_step(uint64_t step) { step_ = step; }

  // Whether this reply was given before. In synchronous training every other reply makes a version, unless it sets the
  // replica back to a version that a server still has.
  bool IsRepeated(uint32_t bucket, const PushReply& reply) const {
    return rules_.is_sync && reply.version <= versions_[bucket] && !reply.replaces;
  }

  // Versions of the replica, by bucket. Other code that changes the replica sets them between two steps.
  const std::vector<uint64_t>& versions() const { return versions_; }
  void set_version(uint32_t bucket, uint64_t version) { versions_[bucket] = version; }
  uint64_t newest_version() const;

  // Bytes of updates beyond which the coming steps' calls are full.
  void set_full_call_bytes(uint64_t bytes) { batch_.set_full_bytes(bytes); }

  // Begins a step; no gradient is ready yet. `refuse`: the loss is not finite, so push marks for all buckets.
  // `weight`: of the contributions (Push); 0: no examples, so push no elements, with the smallest weight.
  void Begin(bool refuse, std::optional<float> weight = std::nullopt);

  // Events. Each returns the actions that follow from it.
  // The gradients of all elements from `begin` on are complete.
  std::vector<StepAction> Ready(uint64_t begin);
  std::vector<StepAction> Encoded(uint32_t bucket, EncodedBucket encoded);
  // A repeated answer changes nothing.
  std::vector<StepAction> Answered(uint32_t bucket, absl::StatusOr<PushReply> reply);
  std::vector<StepAction> Applied(uint32_t bucket, const absl::Status& status);

  // Whether every reply is applied. After an error no more buckets are encoded, and those under way are awaited.
  bool done() const;

  // Ends a step that is done, and counts it. The status is the first error.
  absl::Status status() const { return status_; }
  const StepCounts& counts() const { return counts_; }
  // Returns the number of steps that the others have made without this worker.
  uint64_t End();

 private:
  bool IsReady(uint32_t bucket) const;
  std::vector<StepAction> Advance();
  void ReleaseInOrder(std::vector<StepAction>* actions);
  void Release(uint32_t bucket, bool non_finite, std::optional<EncodedBucket> encoded,
               std::vector<StepAction>* actions);
  void StartEncodings(std::vector<StepAction>* actions);
  void GiveUp(std::vector<StepAction>* actions);
  void Flush(std::vector<StepAction>* actions);

  const ParameterLayout layout_;
  const StepRules rules_;
  uint64_t step_ = 0;
  std::vector<uint64_t> versions_;
  PushBatch batch_;  // to be pushed; empty between two steps

  // Of the step under way.
  uint64_t ready_from_ = UINT64_MAX;
  std::optional<float> weight_;
  bool encodes_ = true;                                // false: the whole step is refused, or has no contributions
  bool refuse_ = false;                                // release marks from here on
  uint32_t to_encode_ = 0;                             // buckets below it are not yet being encoded
  uint32_t to_release_ = 0;                            // buckets below it are not yet in batch_ or pushed
  uint32_t encoding_ = 0;                              // encodings under way
  uint32_t unanswered_ = 0;                            // buckets in batch_ or pushed
  uint32_t applying_ = 0;                              // replies being applied
  std::vector<std::optional<EncodedBucket>> encoded_;  // by bucket: complete and not yet released
  std::vector<bool> awaited_;                          // by bucket: in batch_ or pushed, and not answered
  std::vector<SharedBytes> pushed_;                    // by bucket, until the reply is applied
  absl::Status status_;
  StepCounts counts_;
};

// The pushes that bring the replica to one version: an empty contribution to every bucket behind the newest. After a
// crash in the middle of a step, or if the others continued without this worker, buckets may be a version apart.
// Rolling forward loses nothing that was ever answered. Empty if no bucket is behind.
std::vector<Push> RollForward(const std::vector<uint64_t>& versions);

}  // namespace cddp

#endif  // WORKER_EXCHANGE_STEP_DRIVER_H_
