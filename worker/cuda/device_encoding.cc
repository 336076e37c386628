// Encodings: gathers them into batches, queues these, and handles the results.

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "common/check/check.h"
#include "common/codec/crc32c.h"
#include "common/codec/update_codec.h"
#include "common/compress/finite.h"
#include "worker/cuda/device_buckets.h"
#include "worker/cuda/transcode.h"

namespace cddp {
namespace {

// The updates' bytes follow the states.
constexpr size_t kStatesBytes = device::kMostSlots * sizeof(device::StepState);
static_assert(kStatesBytes % 16 == 0);

// Limit of a batch's updates, whose positions in it have 32 bits.
constexpr uint64_t kMostBatchBytes = uint64_t{1} << 30;

// The kernels' update, converted to the requested encoding.
SharedBytes UpdateOf(const std::shared_ptr<uint8_t>& block, size_t at, size_t size, uint32_t length,
                     IndexEncoding encoding) {
  const absl::string_view bytes(reinterpret_cast<const char*>(block.get()) + at, size);
  if (encoding == IndexEncoding::kGap8) return SharedBytes(block, bytes);
  const absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, length);
  CDDP_CHECK(update.ok()) << "the kernels made no update: " << update.status();
  return SharedBytes::Own(WithIndexEncoding(*update, encoding));
}

}  // namespace

void DeviceBuckets::Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) {
  MutexLock lock(mutex_);
  requested_.push_back({bucket, ready, with_checksum, std::move(done), nullptr});
  ordered_[bucket] = 1;
}

void DeviceBuckets::RefuseAll(std::vector<Request> requests, Calls* calls) {
  for (Request& request : requests) {
    calls->push_back([done = std::move(request.done)] { done({.finite = false, .update = {}}); });
  }
}

// The next batch has the requests that are ready, from the front on; if none is, those that will be ready first.
void DeviceBuckets::LaunchEncodings(Calls* calls) {
  if (gathered_.empty()) return;
  LaunchUpdates(calls);
  Encoding next;
  const ReadyToken first = gathered_.front().ready;
  uint64_t bytes = 0;
  while (!gathered_.empty() && next.requests.size() < device::kMostSlots) {
    const ReadyToken& ready = gathered_.front().ready;
    if (ready != first && (ready == nullptr || !queue_->IsReady(ready.get()))) break;
    const uint32_t bucket = gathered_.front().bucket;
    bytes += IsBuffers(bucket) ? 0 : plans_.most_bytes[bucket];
    if (bytes > kMostBatchBytes && !next.requests.empty()) break;
    (IsBuffers(bucket) ? next.buffers : next.requests).push_back(std::move(gathered_.front()));
    gathered_.pop_front();
  }
  Note(status_.ok() && QueueEncodings(&next), "queueing a batch of encodings");
  if (!status_.ok()) {
    RefuseAll(std::move(next.buffers), calls);
    RefuseAll(std::move(next.requests), calls);
    RefuseAll({std::make_move_iterator(gathered_.begin()), std::make_move_iterator(gathered_.end())}, calls);
    return gathered_.clear();
  }
  ++counts_.encode_batches;
  encoding_ = std::move(next);
  under_way_.push_back(device::Mark::kReady);
  under_way_.push_back(device::Mark::kEncoded);
  changed_.NotifyAll();
}

device::Delivery DeviceBuckets::DeliveryOf(const Encoding& encoding) const {
  return {reinterpret_cast<device::StepState*>(encoding.block.get()), encoding.block.get() + kStatesBytes};
}

// Takes host memory for all that the batch may deliver, and computes the sizes of its launches.
bool DeviceBuckets::TakeBlock(Encoding* encoding) {
  size_t bytes = kStatesBytes;
  encoding->batch.count = static_cast<uint32_t>(encoding->requests.size());
  for (uint32_t slot = 0; slot < encoding->batch.count; ++slot) {
    const uint32_t bucket = encoding->requests[slot].bucket;
    const device::BucketPlan& plan = plans_.buckets[bucket];
    encoding->batch.buckets[slot] = bucket;
    encoding->batch.second[slot] = second_[bucket];
    encoding->batch.near[slot] = thresholds_[bucket].is_near() ? 1 : 0;
    encoding->batch.least_keys[slot] = thresholds_[bucket].least_key(plan.wanted);
    device::BatchSize& size = encoding->size;
    size.longest = std::max(size.longest, plan.length);
    size.most_candidates = std::max(size.most_candidates, plan.wanted.candidate_room);
    size.most_selected = std::max(size.most_selected, plans_.most_selected[bucket]);
    bytes += plans_.most_bytes[bucket];
  }
  encoding->block = blocks_.Take(bytes);
  return encoding->block != nullptr;
}

bool DeviceBuckets::QueueWaits(const Encoding& encoding) {
  const void* last = nullptr;
  bool for_model = false;
  for (const std::vector<Request>* requests : {&encoding.buffers, &encoding.requests}) {
    for (const Request& request : *requests) {
      const void* const ready = request.ready.get();
      for_model |= ready == nullptr;
      if (ready == nullptr || ready == last) continue;
      if (!queue_->WaitFor(ready)) return false;
      last = ready;
    }
  }
  return !for_model || queue_->WaitForModel();
}

// Copies the weights before anything is added to them.
bool DeviceBuckets::QueueReplicas(std::vector<Request>* requests) {
  for (Request& request : *requests) {
    if (!request.with_checksum) continue;
    const size_t bytes = layout_.bucket_length(request.bucket) * sizeof(float);
    request.replica = blocks_.Take(bytes);
    if (request.replica == nullptr || !queue_->Copy(request.replica.get(), WeightsOf(request.bucket), bytes)) {
      return false;
    }
  }
  return true;
}

// Copies the values to push for buffers, unchanged, and the loss.
bool DeviceBuckets::QueueBuffers(Encoding* encoding) {
  for (const Request& request : encoding->buffers) {
    const ElementRange range = layout_.bucket_range(request.bucket);
    const size_t bytes = range.size() * sizeof(float);
    const std::shared_ptr<uint8_t>& block = encoding->values.emplace_back(blocks_.Take(bytes + sizeof(float)));
    if (block == nullptr || !queue_->Copy(block.get(), gradients_ + range.begin, bytes)) return false;
    if (loss_ != nullptr && !queue_->Copy(block.get() + bytes, loss_, sizeof(float))) return false;
  }
  return true;
}

bool DeviceBuckets::QueueKernels(Encoding* encoding) {
  if (encoding->requests.empty()) return true;
  if (std::exchange(clips_now_, false) &&
      !kernels_->Clip(gradients_, layout_.parameter_elements(), clip_limit_, tile_sums_, scale_)) {
    return false;
  }
  device::StepInput input;
  input.gradients = gradients_;
  input.loss = loss_;
  input.scale = scale_;
  input.decay = static_cast<float>(options_.residual_decay);
  input.momentum = static_cast<float>(options_.momentum_correction);
  return kernels_->Encode(encoding->batch, memory_.arrays(), encoding->size, input, plans_.coding,
                          DeliveryOf(*encoding));
}

bool DeviceBuckets::QueueEncodings(Encoding* encoding) {
  return TakeBlock(encoding) && QueueWaits(*encoding) && queue_->SetMark(device::Mark::kReady) &&
         QueueReplicas(&encoding->buffers) && QueueReplicas(&encoding->requests) && QueueBuffers(encoding) &&
         QueueKernels(encoding) && queue_->SetMark(device::Mark::kEncoded);
}

void DeviceBuckets::FinishEncodings(Calls* calls) {
  Encoding encoding = *std::exchange(encoding_, std::nullopt);
  if (!status_.ok()) {
    RefuseAll(std::move(encoding.buffers), calls);
    return RefuseAll(std::move(encoding.requests), calls);
  }
  TellBuffers(&encoding, calls);
  Encoding missed;
  size_t at = 0;
  for (uint32_t slot = 0; slot < encoding.batch.count; ++slot) {
    const device::StepState& state = DeliveryOf(encoding).states[slot];
    const uint32_t bucket = encoding.requests[slot].bucket;
    const bool bad = state.input_bad != 0 || state.residual_bad != 0;
    const device::Wanted& wanted = plans_.buckets[bucket].wanted;
    if (!bad && !encoding.searches && thresholds_[bucket].NeedsSearch(wanted, state)) {
      missed.requests.push_back(std::move(encoding.requests[slot]));
      missed.sums.push_back(state.sum_sq);
      continue;
    }
    if (!bad) {
      thresholds_[bucket].Carry(wanted, options_.compressor.selection, state);
      second_[bucket] ^= 1;
    }
    Tell(&encoding, slot, at, calls);
    at += device::PaddedBytes(device::UpdateBytes(state, plans_.coding));
  }
  if (!missed.requests.empty()) Search(std::move(missed), calls);
}

// `at`: the update's beginning within those of the batch.
void DeviceBuckets::Tell(Encoding* encoding, uint32_t slot, size_t at, Calls* calls) {
  Request& request = encoding->requests[slot];
  const device::StepState& state = DeliveryOf(*encoding).states[slot];
  const uint32_t size = state.input_bad != 0 || state.residual_bad != 0 ? 0 : device::UpdateBytes(state, plans_.coding);
  const double sum_sq = encoding->searches ? encoding->sums[slot] : state.sum_sq;
  EncodedBucket result;
  result.finite = size > 0;
  result.selected = size > 0 ? state.selected : 0;
  result.residual_sq = size > 0 ? std::max(0.0, sum_sq - state.sent_sq) : 0;
  const uint32_t length = layout_.bucket_length(request.bucket);
  calls->push_back([result, size, request = std::move(request), block = encoding->block, at = kStatesBytes + at, length,
                    index_encoding = options_.compressor.index_encoding]() mutable {
    if (size > 0) result.update = UpdateOf(block, at, size, length, index_encoding);
    if (request.replica != nullptr) result.replica_crc32c = Crc32c(request.replica.get(), length * sizeof(float));
    request.done(std::move(result));
  });
}

void DeviceBuckets::TellBuffers(Encoding* encoding, Calls* calls) {
  for (size_t i = 0; i < encoding->buffers.size(); ++i) {
    const uint32_t length = layout_.bucket_length(encoding->buffers[i].bucket);
    calls->push_back([request = std::move(encoding->buffers[i]), block = std::move(encoding->values[i]), length,
                      with_loss = loss_ != nullptr] {
      const absl::Span<float> values(reinterpret_cast<float*>(block.get()), length + (with_loss ? 1 : 0));
      EncodedBucket result;
      result.finite = AllFinite(values);
      if (result.finite) {
        std::string update;
        EncodeDense(values.first(length), ValueEncoding::kFp32, &update);
        result.update = SharedBytes::Own(std::move(update));
        result.selected = length;
      }
      if (request.replica != nullptr) result.replica_crc32c = Crc32c(request.replica.get(), length * sizeof(float));
      request.done(std::move(result));
    });
  }
}

void DeviceBuckets::Search(Encoding missed, Calls* calls) {
  counts_.searches += missed.requests.size();
  missed.searches = true;
  Note(TakeBlock(&missed) &&
           kernels_->Search(missed.batch, memory_.arrays(), missed.size, plans_.coding, DeliveryOf(missed)) &&
           queue_->SetMark(device::Mark::kEncoded),
       "queueing a search");
  if (!status_.ok()) return RefuseAll(std::move(missed.requests), calls);
  encoding_ = std::move(missed);
  under_way_.push_back(device::Mark::kEncoded);
}

}  // namespace cddp
