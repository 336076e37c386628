#include "worker/cuda/device_buckets.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"

namespace cddp {
namespace {

uint32_t LongestBucket(const ParameterLayout& layout) {
  uint32_t longest = 0;
  for (uint32_t bucket = 0; bucket < layout.bucket_count(); ++bucket) {
    longest = std::max(longest, layout.bucket_length(bucket));
  }
  return longest;
}

absl::Status CheckOnDevice(const GradientCompressorOptions& options) {
  if (absl::Status status = Validate(options); !status.ok()) return status;
  if (options.compressor.ratio == 1) {
    return absl::UnimplementedError("--ratio=1 is not done on a GPU: use a ratio below 1, or --device=cpu");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBuckets>> DeviceBuckets::Create(const ParameterLayout& layout,
                                                                     const GradientCompressorOptions& options,
                                                                     uint32_t worker_count,
                                                                     device::DeviceParts device) {
  if (absl::Status status = CheckOnDevice(options); !status.ok()) return status;
  std::unique_ptr<DeviceBuckets> buckets(new DeviceBuckets(layout, options, worker_count, std::move(device)));
  if (absl::Status status = buckets->Init(); !status.ok()) return status;
  return buckets;
}

DeviceBuckets::DeviceBuckets(const ParameterLayout& layout, const GradientCompressorOptions& options,
                             uint32_t worker_count, device::DeviceParts device)
    : layout_(layout),
      options_(options),
      clip_limit_(options.clip_norm / std::sqrt(static_cast<double>(worker_count))),
      queue_(std::move(device.queue)),
      kernels_(std::move(device.kernels)),
      blocks_(*queue_),
      memory_(queue_.get()),
      second_(layout.bucket_count()),
      ordered_(layout.bucket_count()),
      stage_(&blocks_, LongestBucket(layout)) {}

absl::Status DeviceBuckets::Init() {
  MutexLock lock(mutex_);
  const uint64_t elements = layout_.parameter_elements();
  absl::Status status = memory_.Init(elements, options_.momentum_correction > 0, layout_.bucket_count());
  if (status.ok()) status = SetRatio(RatioOfStep(options_, 1));
  if (!status.ok()) return status;
  stage_on_device_ = static_cast<uint8_t*>(memory_.Allocate(stage_.capacity()));
  if (needs_whole_gradient()) {
    const uint64_t tiles = (elements + device::kTile - 1) / device::kTile;
    tile_sums_ = static_cast<double*>(memory_.Allocate(tiles * sizeof(double)));
    scale_ = static_cast<float*>(memory_.Allocate(sizeof(float)));
  }
  if (stage_on_device_ == nullptr || (needs_whole_gradient() && (tile_sums_ == nullptr || scale_ == nullptr))) {
    return absl::ResourceExhaustedError(absl::StrCat("device memory for updates: ", queue_->error()));
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

DeviceBuckets::~DeviceBuckets() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  MutexLock lock(mutex_);
  queue_->Synchronise();
}

void DeviceBuckets::Note(bool queued, const char* what) {
  if (queued || !status_.ok()) return;
  status_ = absl::InternalError(absl::StrCat("GPU, ", what, ": ", queue_->error()));
}

absl::Status DeviceBuckets::SetRatio(double ratio) {
  absl::StatusOr<BucketPlans> plans = PlanBuckets(layout_, options_, ratio);
  if (!plans.ok()) return plans.status();
  if (absl::Status status = memory_.SetPlans(*plans); !status.ok()) return status;
  plans_ = *std::move(plans);
  thresholds_.assign(plans_.buckets.size(), {});
  ratio_ = ratio;
  return absl::OkStatus();
}

void DeviceBuckets::Bind(absl::Span<const float> gradients, absl::Span<float> weights) {
  MutexLock lock(mutex_);
  queue_->AdoptThread();
  gradients_ = gradients.data();
  weights_ = weights.data();
  loss_ = std::exchange(next_loss_, nullptr);
  std::fill(ordered_.begin(), ordered_.end(), uint8_t{0});
}

void DeviceBuckets::CheckLoss(const float* loss) {
  MutexLock lock(mutex_);
  next_loss_ = loss;
}

void DeviceBuckets::BeginGradients(uint64_t step) {
  MutexLock lock(mutex_);
  clips_now_ = needs_whole_gradient();
  if (const double ratio = RatioOfStep(options_, step); ratio != ratio_) status_.Update(SetRatio(ratio));
}

void DeviceBuckets::Flush() {
  Calls calls;
  {
    MutexLock lock(mutex_);
    for (Request& request : requested_) gathered_.push_back(std::move(request));
    requested_.clear();
    stage_flushed_ = !stage_.empty() || !applied_.empty();
    LaunchNext(&calls);
  }
  for (const auto& call : calls) call();
}

void DeviceBuckets::LaunchNext(Calls* calls) {
  if (applying_.empty() && stage_flushed_) LaunchUpdates(calls);
  if (!encoding_.has_value()) LaunchEncodings(calls);
}

void DeviceBuckets::Run() {
  MutexLock lock(mutex_);
  queue_->AdoptThread();
  while (true) {
    changed_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return ending_ || !under_way_.empty(); });
    if (under_way_.empty()) return;
    const device::Mark mark = under_way_.front();
    lock.Unlock();
    const bool reached = queue_->Await(mark);
    lock.Lock();
    under_way_.pop_front();
    Note(reached, "waiting for a batch");
    Calls calls;
    if (mark == device::Mark::kApplied) applying_.pop_front();
    if (mark == device::Mark::kEncoded) FinishEncodings(&calls);
    if (!ending_) LaunchNext(&calls);
    lock.Unlock();
    for (const auto& call : calls) call();
    lock.Lock();
  }
}

SharedBytes DeviceBuckets::EncodeWeights(uint32_t bucket) {
  std::vector<float> weights(layout_.bucket_length(bucket));
  {
    MutexLock lock(mutex_);
    CopyWeights(bucket, weights.data(), WeightsOf(bucket));
  }
  std::string update;
  EncodeDense(absl::MakeSpan(weights), ValueEncoding::kFp32, &update);
  return SharedBytes::Own(std::move(update));
}

void DeviceBuckets::SetWeights(uint32_t bucket, absl::Span<const float> weights) {
  MutexLock lock(mutex_);
  CopyWeights(bucket, WeightsOf(bucket), weights.data());
}

void DeviceBuckets::CopyWeights(uint32_t bucket, float* to, const float* from) {
  ++counts_.synchronising;
  Note(queue_->WaitForModel() && queue_->Copy(to, from, layout_.bucket_length(bucket) * sizeof(float)) &&
           queue_->Synchronise(),
       "copying weights");
}

void DeviceBuckets::ClearWeights(uint32_t bucket) {
  MutexLock lock(mutex_);
  Note(queue_->WaitForModel() && queue_->Zero(WeightsOf(bucket), layout_.bucket_length(bucket) * sizeof(float)),
       "clearing weights");
}

float* DeviceBuckets::ResidualOf(uint32_t bucket) const {
  return memory_.arrays().residuals[second_[bucket]] + layout_.bucket_range(bucket).begin;
}

float* DeviceBuckets::VelocityOf(uint32_t bucket) const {
  return memory_.arrays().velocities[second_[bucket]] + layout_.bucket_range(bucket).begin;
}

float* DeviceBuckets::WeightsOf(uint32_t bucket) const { return weights_ + layout_.bucket_range(bucket).begin; }

BucketEngineState DeviceBuckets::State() const {
  MutexLock lock(mutex_);
  BucketEngineState state = {ratio_, std::vector<float>(layout_.parameter_elements()), {}, {}};
  const bool corrects = options_.momentum_correction > 0;
  if (corrects) state.velocity.resize(layout_.parameter_elements());
  for (uint32_t bucket = 0; bucket < thresholds_.size(); ++bucket) {
    const uint64_t begin = layout_.bucket_range(bucket).begin, bytes = layout_.bucket_length(bucket) * sizeof(float);
    queue_->Copy(state.residual.data() + begin, ResidualOf(bucket), bytes);
    if (corrects) queue_->Copy(state.velocity.data() + begin, VelocityOf(bucket), bytes);
    state.thresholds.push_back(thresholds_[bucket].threshold());
  }
  queue_->Synchronise();
  return state;
}

absl::Status DeviceBuckets::SetState(const BucketEngineState& state) {
  MutexLock lock(mutex_);
  const uint64_t elements = layout_.parameter_elements();
  if (state.residual.size() != elements || state.thresholds.size() != thresholds_.size()) {
    return absl::InvalidArgumentError("the residual is of another model");
  }
  const bool corrects = options_.momentum_correction > 0;
  if (state.velocity.size() != (corrects ? elements : 0)) {
    return absl::InvalidArgumentError("the residual is of a run with another --momentum_correction");
  }
  if (state.ratio == 1) return absl::InvalidArgumentError("the residual is of a run with --ratio=1");
  if (absl::Status status = SetRatio(state.ratio); !status.ok()) return status;
  for (uint32_t bucket = 0; bucket < thresholds_.size(); ++bucket) {
    thresholds_[bucket].set_threshold(state.thresholds[bucket]);
  }
  std::fill(second_.begin(), second_.end(), uint8_t{0});
  const device::Arrays& arrays = memory_.arrays();
  Note(queue_->Copy(arrays.residuals[0], state.residual.data(), elements * sizeof(float)) &&
           (!corrects || queue_->Copy(arrays.velocities[0], state.velocity.data(), elements * sizeof(float))) &&
           queue_->Synchronise(),
       "copying the residual");
  return status_;
}

absl::Status DeviceBuckets::WaitForWeights(void* stream) {
  MutexLock lock(mutex_);
  Note(queue_->HoldStream(stream), "holding the model's stream");
  return status_;
}

CudaCounts DeviceBuckets::counts() const {
  MutexLock lock(mutex_);
  return counts_;
}

}  // namespace cddp
