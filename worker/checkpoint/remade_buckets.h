// Makes repeated steps send what they sent the first time.

#ifndef WORKER_CHECKPOINT_REMADE_BUCKETS_H_
#define WORKER_CHECKPOINT_REMADE_BUCKETS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/layout/parameter_layout.h"
#include "common/sync/mutex.h"
#include "worker/checkpoint/sent_log.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

// Forwards to `engine`, and notes the updates sent in the log, unless the residual is always empty. If the log has a
// different update of a bucket for this step, from before, it sends that one again, and the residual is the rest of the
// present gradient: for every element the sum of what the servers have counted and the residual equals the sum of the
// gradients. Threads: as BucketEngine.
class RemadeBuckets final : public BucketEngine {
 public:
  RemadeBuckets(const ParameterLayout& layout, std::unique_ptr<BucketEngine> engine)
      : layout_(layout), engine_(std::move(engine)), replaced_(layout.bucket_count()) {}

  // Call it between two steps; null: no log.
  void set_log(std::shared_ptr<SentLog> log) { log_ = std::move(log); }

  // Buckets of repeated steps, and those of them whose bytes differed from the first time.
  struct Counts {
    uint64_t remade = 0;
    uint64_t differed = 0;
  };
  Counts counts() const { return {remade_.load(), differed_.load()}; }

  void Bind(absl::Span<const float> gradients, absl::Span<float> weights) override {
    engine_->Bind(gradients, weights);
  }
  bool needs_whole_gradient() const override { return engine_->needs_whole_gradient(); }
  uint32_t most_encodings() const override { return engine_->most_encodings(); }
  absl::Status SetLevel(const SendLevel& level) override { return engine_->SetLevel(level); }
  void BeginGradients(uint64_t step) override;
  void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) override;
  void TakeBack(uint32_t bucket, const SharedBytes& update) override;
  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) override;
  void Flush() override { engine_->Flush(); }
  SharedBytes EncodeWeights(uint32_t bucket) override { return engine_->EncodeWeights(bucket); }
  void SetWeights(uint32_t bucket, absl::Span<const float> weights) override { engine_->SetWeights(bucket, weights); }
  void ClearWeights(uint32_t bucket) override { engine_->ClearWeights(bucket); }
  BucketEngineState State() const override { return engine_->State(); }
  absl::Status SetState(const BucketEngineState& state) override { return engine_->SetState(state); }

 private:
  // An update of the log that replaces the engine's.
  struct Replaced {
    bool is = false;
    SharedBytes own;   // the engine's; empty: its gradient was not finite
    SharedBytes sent;  // the log's
  };

  // Returns the log's update, if that differs.
  EncodedBucket Remake(uint64_t step, uint32_t bucket, EncodedBucket encoded);
  // Sets the residual to the rest that the sent update leaves, instead of the engine's own update.
  void Settle(uint32_t bucket);

  const ParameterLayout layout_;
  const std::unique_ptr<BucketEngine> engine_;
  std::shared_ptr<SentLog> log_;
  uint64_t step_ = 0;
  Mutex mutex_;
  std::vector<Replaced> replaced_ ABSL_GUARDED_BY(mutex_);  // by bucket, until its reply is applied
  std::atomic<uint64_t> remade_{0};
  std::atomic<uint64_t> differed_{0};
};

}  // namespace cddp

#endif  // WORKER_CHECKPOINT_REMADE_BUCKETS_H_
