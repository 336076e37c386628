// The bucket engine of cuda_buckets.h over any device: the order of work, and the host's state of each bucket.
//
// At most one batch of encodings and one of updates are under way at a time. Requests gather meanwhile, and those that
// are ready by then form the next batch. So batches adapt to the device's speed, without a clock. Flush queues a batch
// if none is under way. A thread waits for the batch under way, passes on its results, and queues the next
// batch.

#ifndef WORKER_CUDA_DEVICE_BUCKETS_H_
#define WORKER_CUDA_DEVICE_BUCKETS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/sync/mutex.h"
#include "worker/cuda/bucket_memory.h"
#include "worker/cuda/bucket_plans.h"
#include "worker/cuda/bucket_threshold.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_device.h"
#include "worker/cuda/host_blocks.h"
#include "worker/cuda/update_stage.h"

namespace cddp {

class DeviceBuckets final : public CudaBuckets {
 public:
  // Errors of MakeCudaBuckets except Unavailable.
  static absl::StatusOr<std::unique_ptr<DeviceBuckets>> Create(const ParameterLayout& layout,
                                                               const GradientCompressorOptions& options,
                                                               uint32_t worker_count, device::DeviceParts device);
  // Waits for the device; does not call `done` for requests that were not begun.
  ~DeviceBuckets() override;

  void Bind(absl::Span<const float> gradients, absl::Span<float> weights) override;
  bool needs_whole_gradient() const override { return options_.clip_norm > 0; }
  uint32_t most_encodings() const override { return layout_.bucket_count(); }
  void BeginGradients(uint64_t step) override;
  void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) override;
  void TakeBack(uint32_t bucket, const SharedBytes& update) override;
  void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) override;
  void Flush() override;
  SharedBytes EncodeWeights(uint32_t bucket) override;
  void SetWeights(uint32_t bucket, absl::Span<const float> weights) override;
  void ClearWeights(uint32_t bucket) override;
  BucketEngineState State() const override;
  absl::Status SetState(const BucketEngineState& state) override;

  absl::Status WaitForWeights(void* stream) override;
  void CheckLoss(const float* loss) override;
  CudaCounts counts() const override;

 private:
  struct Request {
    uint32_t bucket;
    ReadyToken ready;
    bool with_checksum;
    Encoded done;
    std::shared_ptr<uint8_t> replica;  // the weights before the step, if with_checksum
  };
  // A batch under way.
  struct Encoding {
    std::vector<Request> requests;                 // by slot
    std::vector<Request> buffers;                  // for buckets of buffers, whose values are copied unchanged
    std::vector<std::shared_ptr<uint8_t>> values;  // of those requests; after them the loss, if it is checked
    device::Batch batch;
    device::BatchSize size;
    std::shared_ptr<uint8_t> block;  // host memory for the delivery
    bool searches = false;           // the candidates did not suffice; `sums` are of the pass
    std::vector<double> sums;
  };
  struct ToBeTold {
    Applied done;
    absl::Status status;
  };
  // Callbacks to be called without the lock.
  using Calls = std::vector<std::function<void()>>;

  DeviceBuckets(const ParameterLayout& layout, const GradientCompressorOptions& options, uint32_t worker_count,
                device::DeviceParts device);

  absl::Status Init() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status SetRatio(double ratio) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Note(bool queued, const char* what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Encodings (device_encoding.cc).
  void LaunchEncodings(Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QueueEncodings(Encoding* encoding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QueueWaits(const Encoding& encoding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QueueReplicas(std::vector<Request>* requests) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QueueBuffers(Encoding* encoding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QueueKernels(Encoding* encoding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool TakeBlock(Encoding* encoding) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  device::Delivery DeliveryOf(const Encoding& encoding) const;
  void FinishEncodings(Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Search(Encoding missed, Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(Encoding* encoding, uint32_t slot, size_t at, Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellBuffers(Encoding* encoding, Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RefuseAll(std::vector<Request> requests, Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Updates (device_updates.cc).
  void Stage(float* target, const CheckedUpdate& update, device::UpdateJob::Action action, Calls* calls)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StageOwn(uint32_t bucket, float* target, const SharedBytes& update, device::UpdateJob::Action action,
                Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StageReply(uint32_t bucket, bool replaces, const std::vector<CheckedUpdate>& updates, Calls* calls)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LaunchUpdates(Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QueueUpdates(const StagedUpdates& staged) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  float* ResidualOf(uint32_t bucket) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  float* VelocityOf(uint32_t bucket) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  float* WeightsOf(uint32_t bucket) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void CopyWeights(uint32_t bucket, float* to, const float* from) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Queues the gathered requests of kinds that have no batch under way.
  void LaunchNext(Calls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();  // the thread
  bool IsBuffers(uint32_t bucket) const { return layout_.bucket_kind(bucket) == TensorKind::kBuffer; }

  const ParameterLayout layout_;
  const GradientCompressorOptions options_;
  const double clip_limit_;  // of the norm of one worker's gradient
  const std::shared_ptr<device::DeviceQueue> queue_;
  const std::shared_ptr<device::Kernels> kernels_;
  mutable HostBlocks blocks_;

  mutable Mutex mutex_;
  mutable CondVar changed_;
  BucketMemory memory_ ABSL_GUARDED_BY(mutex_);
  BucketPlans plans_ ABSL_GUARDED_BY(mutex_);
  double ratio_ ABSL_GUARDED_BY(mutex_) = 0;                         // of plans_
  std::vector<BucketThreshold> thresholds_ ABSL_GUARDED_BY(mutex_);  // by bucket of parameters
  std::vector<uint8_t> second_ ABSL_GUARDED_BY(mutex_);   // index of the bucket's present residual (and velocity)
  std::vector<uint8_t> ordered_ ABSL_GUARDED_BY(mutex_);  // by bucket: encoded since Bind
  absl::Status status_ ABSL_GUARDED_BY(mutex_);           // the device's first error; no work is begun after it
  CudaCounts counts_ ABSL_GUARDED_BY(mutex_);

  // Of the step.
  const float* gradients_ ABSL_GUARDED_BY(mutex_) = nullptr;
  float* weights_ ABSL_GUARDED_BY(mutex_) = nullptr;
  const float* next_loss_ ABSL_GUARDED_BY(mutex_) = nullptr;
  const float* loss_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool clips_now_ ABSL_GUARDED_BY(mutex_) = false;  // the step's norm must be computed
  double* tile_sums_ ABSL_GUARDED_BY(mutex_) = nullptr;
  float* scale_ ABSL_GUARDED_BY(mutex_) = nullptr;  // device memory; null: no clipping

  std::vector<Request> requested_ ABSL_GUARDED_BY(mutex_);  // since the last Flush
  std::deque<Request> gathered_ ABSL_GUARDED_BY(mutex_);    // for the next batch
  std::optional<Encoding> encoding_ ABSL_GUARDED_BY(mutex_);

  UpdateStage stage_ ABSL_GUARDED_BY(mutex_);
  uint8_t* stage_on_device_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stage_waits_ ABSL_GUARDED_BY(mutex_) = false;  // for the model's stream
  bool stage_flushed_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<ToBeTold> applied_ ABSL_GUARDED_BY(mutex_);  // to be called once the staged updates are queued
  std::deque<std::shared_ptr<uint8_t>> applying_ ABSL_GUARDED_BY(mutex_);  // memory that the device still reads
  std::deque<device::Mark> under_way_ ABSL_GUARDED_BY(mutex_);             // marks, in the order of the stream
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cddp

#endif  // WORKER_CUDA_DEVICE_BUCKETS_H_
