// Updates that are added to weights or returned to residuals: stages them, and queues them together.

#include <utility>

#include "worker/cuda/device_buckets.h"

namespace cddp {

void DeviceBuckets::TakeBack(uint32_t bucket, const SharedBytes& update) {
  Calls calls;
  {
    MutexLock lock(mutex_);
    if (!IsBuffers(bucket)) StageOwn(bucket, ResidualOf(bucket), update, device::UpdateJob::kAdd, &calls);
    LaunchUpdates(&calls);
  }
  for (const auto& call : calls) call();
}

void DeviceBuckets::Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) {
  absl::Status status;
  std::vector<CheckedUpdate> updates;
  for (const SharedBytes& update : reply.updates) {
    absl::StatusOr<CheckedUpdate> checked = CheckedUpdate::Check(update.view(), layout_.bucket_length(bucket));
    status = checked.status();
    if (!status.ok()) break;
    updates.push_back(*checked);
  }
  Calls calls;
  {
    MutexLock lock(mutex_);
    if (IsBuffers(bucket)) {
      // Buffers have no residual.
    } else if (reply.refused) {
      StageOwn(bucket, ResidualOf(bucket), pushed, device::UpdateJob::kAdd, &calls);
    } else if (options_.momentum_correction > 0) {
      StageOwn(bucket, VelocityOf(bucket), pushed, device::UpdateJob::kClear, &calls);
    }
    StageReply(bucket, reply.replaces, updates, &calls);
    applied_.push_back({std::move(done), std::move(status)});
  }
  for (const auto& call : calls) call();
}

void DeviceBuckets::StageReply(uint32_t bucket, bool replaces, const std::vector<CheckedUpdate>& updates,
                               Calls* calls) {
  if (!replaces && updates.empty()) return;
  stage_waits_ |= ordered_[bucket] == 0;
  if (replaces) {
    if (!stage_.HasRoom()) LaunchUpdates(calls);
    Note(stage_.Fill(WeightsOf(bucket), layout_.bucket_length(bucket)), "no memory for updates");
  }
  for (const CheckedUpdate& update : updates) Stage(WeightsOf(bucket), update, device::UpdateJob::kAdd, calls);
}

void DeviceBuckets::StageOwn(uint32_t bucket, float* target, const SharedBytes& update,
                             device::UpdateJob::Action action, Calls* calls) {
  if (update.empty()) return;
  // These are our own bytes, so they decode.
  const absl::StatusOr<CheckedUpdate> checked = CheckedUpdate::Check(update.view(), layout_.bucket_length(bucket));
  if (checked.ok()) Stage(target, *checked, action, calls);
}

void DeviceBuckets::Stage(float* target, const CheckedUpdate& update, device::UpdateJob::Action action, Calls* calls) {
  if (!stage_.HasRoom()) LaunchUpdates(calls);
  Note(stage_.Add(target, update, action), "no memory for updates");
}

void DeviceBuckets::LaunchUpdates(Calls* calls) {
  if (!stage_.empty()) {
    StagedUpdates staged = stage_.Take();
    Note(status_.ok() && QueueUpdates(staged), "queueing updates");
    if (status_.ok()) {
      ++counts_.apply_batches;
      applying_.push_back(std::move(staged.block));
      under_way_.push_back(device::Mark::kApplied);
      changed_.NotifyAll();
    }
  }
  stage_waits_ = false;
  stage_flushed_ = false;
  for (ToBeTold& told : applied_) {
    told.status.Update(status_);
    calls->push_back([done = std::move(told.done), status = std::move(told.status)] { done(status); });
  }
  applied_.clear();
}

bool DeviceBuckets::QueueUpdates(const StagedUpdates& staged) {
  if (stage_waits_ && !queue_->WaitForModel()) return false;
  if (!queue_->Copy(stage_on_device_, staged.block.get(), staged.bytes)) return false;
  const auto* jobs = reinterpret_cast<const device::UpdateJob*>(stage_on_device_ + staged.jobs_at);
  for (const StagedUpdates::Layer& layer : staged.layers) {
    if (!kernels_->Apply(jobs, stage_on_device_, layer.jobs, layer.most_blocks)) return false;
    jobs += layer.jobs;
  }
  return queue_->SetMark(device::Mark::kApplied);
}

}  // namespace cddp
