// --check_engine: compares another engine's bytes with the host engine's, for the same gradients.

#ifndef WORKER_BUCKETS_CHECKED_BUCKETS_H_
#define WORKER_BUCKETS_CHECKED_BUCKETS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/sync/mutex.h"
#include "worker/buckets/host_buckets.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

// Forwards to `engine`, and runs the host engine on copies of the gradients and weights. From the first difference in a
// bucket's bytes, marks or weights on, every reply ends in an Internal error that names the bucket. Costs the host
// engine's time and memory and two copies of the arrays, and makes the host wait for the device in every step.
// Threads: as BucketEngine.
class CheckedBuckets final : public BucketEngine {
 public:
  // Copies from the engine's kind of memory to the host's, once all work requested from the device until then is
  // complete.
  using CopyToHost = std::function<absl::Status(absl::Span<const float> from, absl::Span<float> to)>;

  CheckedBuckets(const ParameterLayout& layout, std::unique_ptr<BucketEngine> engine, std::unique_ptr<HostBuckets> host,
                 CopyToHost copy);

  void Bind(absl::Span<const float> gradients, absl::Span<float> weights) override;
  bool needs_whole_gradient() const override { return engine_->needs_whole_gradient(); }
  uint32_t most_encodings() const override { return engine_->most_encodings(); }
  absl::Status SetLevel(const SendLevel& level) override;
  void BeginGradients(uint64_t step) override;
  void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) override;
  void TakeBack(uint32_t bucket, const SharedBytes& update) override;
  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) override;
  void Flush() override { engine_->Flush(); }
  SharedBytes EncodeWeights(uint32_t bucket) override;
  void SetWeights(uint32_t bucket, absl::Span<const float> weights) override;
  void ClearWeights(uint32_t bucket) override;
  BucketEngineState State() const override { return engine_->State(); }
  absl::Status SetState(const BucketEngineState& state) override;

 private:
  // The results of encodings on other threads; shared with these, since they may outlive this object.
  struct Findings {
    Mutex mutex;
    absl::Status status ABSL_GUARDED_BY(mutex);  // the first difference
  };

  void Compare(const char* what, uint32_t bucket, bool equal);

  const ParameterLayout layout_;
  const std::unique_ptr<BucketEngine> engine_;
  const std::unique_ptr<HostBuckets> host_;
  const CopyToHost copy_;
  absl::Span<const float> gradients_;  // the engine's
  std::vector<float> host_gradients_;
  std::vector<float> host_weights_;
  const std::shared_ptr<Findings> findings_ = std::make_shared<Findings>();
};

}  // namespace cddp

#endif  // WORKER_BUCKETS_CHECKED_BUCKETS_H_
