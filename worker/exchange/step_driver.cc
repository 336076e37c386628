#include "worker/exchange/step_driver.h"

#include <algorithm>
#include <utility>

#include "common/transport/protocol.h"

namespace cddp {

StepDriver::StepDriver(const ParameterLayout& layout, StepRules rules)
    : layout_(layout),
      rules_(std::move(rules)),
      versions_(layout.bucket_count()),
      encoded_(layout.bucket_count()),
      awaited_(layout.bucket_count()),
      pushed_(layout.bucket_count()) {}

uint64_t StepDriver::newest_version() const { return *std::max_element(versions_.begin(), versions_.end()); }

void StepDriver::Begin(bool refuse, std::optional<float> weight) {
  const bool is_empty = weight == 0.0f;
  weight_ = is_empty ? kLeastWeight : weight;
  ready_from_ = UINT64_MAX;
  encodes_ = !refuse && !is_empty;
  refuse_ = refuse;
  to_encode_ = to_release_ = layout_.bucket_count();
  status_ = absl::OkStatus();
  counts_ = {};
}

std::vector<StepAction> StepDriver::Ready(uint64_t begin) {
  ready_from_ = std::min(ready_from_, begin);
  return Advance();
}

std::vector<StepAction> StepDriver::Encoded(uint32_t bucket, EncodedBucket encoded) {
  --encoding_;
  encoded_[bucket] = std::move(encoded);
  return Advance();
}

std::vector<StepAction> StepDriver::Answered(uint32_t bucket, absl::StatusOr<PushReply> reply) {
  if (!awaited_[bucket] || (reply.ok() && IsRepeated(bucket, *reply))) return {};
  awaited_[bucket] = false;
  --unanswered_;
  SharedBytes pushed = std::exchange(pushed_[bucket], {});
  if (!reply.ok()) {
    status_.Update(reply.status());
    return Advance();
  }
  for (const SharedBytes& update : reply->updates) counts_.pulled_bytes += update.size();
  counts_.refused |= reply->refused;
  counts_.replaced += reply->replaces;
  versions_[bucket] = reply->version;
  ++applying_;
  std::vector<StepAction> actions;
  actions.emplace_back(ApplyReply{bucket, *std::move(reply), std::move(pushed)});
  return actions;
}

std::vector<StepAction> StepDriver::Applied(uint32_t bucket, const absl::Status& status) {
  --applying_;
  status_.Update(status);
  return Advance();
}

bool StepDriver::done() const { return to_release_ == 0 && encoding_ == 0 && unanswered_ == 0 && applying_ == 0; }

uint64_t StepDriver::End() {
  const uint64_t expected = ++step_;
  if (rules_.is_sync) step_ = std::max(step_, newest_version());
  return step_ - expected;
}

// Marks wait for it as well: a reply may change weights that the backward pass still reads.
bool StepDriver::IsReady(uint32_t bucket) const {
  const bool is_first = to_encode_ == layout_.bucket_count();
  const uint64_t needed = is_first && encodes_ && rules_.needs_whole_gradient ? 0 : layout_.bucket_range(bucket).begin;
  return ready_from_ <= needed;
}

std::vector<StepAction> StepDriver::Advance() {
  std::vector<StepAction> actions;
  if (!status_.ok()) {
    GiveUp(&actions);
    return actions;
  }
  ReleaseInOrder(&actions);
  StartEncodings(&actions);
  // No push waits for a gradient that is not complete.
  if (encoding_ == 0) Flush(&actions);
  return actions;
}

void StepDriver::ReleaseInOrder(std::vector<StepAction>* actions) {
  while (to_release_ > 0) {
    const uint32_t bucket = to_release_ - 1;
    const bool began = bucket >= to_encode_;
    if (began && !encoded_[bucket].has_value()) return;
    if (!began && (encodes_ || !IsReady(bucket))) return;
    std::optional<EncodedBucket> encoded = std::exchange(encoded_[bucket], std::nullopt);
    if (encoded.has_value() && !encoded->finite) refuse_ = true;
    if (refuse_ && encoded.has_value() && encoded->finite) {
      actions->emplace_back(TakeBackUpdate{bucket, std::move(encoded->update)});
    }
    to_release_ = bucket;
    to_encode_ = std::min(to_encode_, bucket);
    Release(bucket, refuse_, std::move(encoded), actions);
  }
}

void StepDriver::Release(uint32_t bucket, bool non_finite, std::optional<EncodedBucket> encoded,
                         std::vector<StepAction>* actions) {
  Push push;
  push.bucket = bucket;
  push.step = rules_.is_sync ? versions_[bucket] : step_;
  push.base_version = versions_[bucket];
  push.non_finite = non_finite;
  if (!non_finite) push.weight = weight_;
  if (encoded.has_value()) push.replica_crc32c = encoded->replica_crc32c;
  if (encoded.has_value() && !non_finite) {
    counts_.pushed_bytes += encoded->update.size();
    counts_.selected += encoded->selected;
    counts_.residual_sq += encoded->residual_sq;
    pushed_[bucket] = encoded->update;
    push.update = std::move(encoded->update);
  }
  ++unanswered_;
  awaited_[bucket] = true;
  const uint32_t server = rules_.server_of[bucket];
  const uint64_t length = layout_.bucket_length(bucket);
  if (!batch_.Takes(server, push, length)) Flush(actions);
  batch_.Add(server, std::move(push), length);
}

void StepDriver::StartEncodings(std::vector<StepAction>* actions) {
  while (encodes_ && to_encode_ > 0 && encoding_ < rules_.most_encodings && IsReady(to_encode_ - 1)) {
    if (to_encode_ == layout_.bucket_count()) actions->emplace_back(BeginGradients{step_});
    const uint32_t bucket = --to_encode_;
    ++encoding_;
    actions->emplace_back(EncodeBucket{bucket, ReplicaIsChecked(bucket, versions_[bucket])});
  }
}

// Encoded updates that are not pushed must return to the residual, so that a continuation after the error sends them.
void StepDriver::GiveUp(std::vector<StepAction>* actions) {
  for (Push& push : batch_.Take()) {
    --unanswered_;
    awaited_[push.bucket] = false;
    pushed_[push.bucket] = {};
    if (!push.update.empty()) actions->emplace_back(TakeBackUpdate{push.bucket, std::move(push.update)});
  }
  for (uint32_t bucket = 0; bucket < encoded_.size(); ++bucket) {
    const std::optional<EncodedBucket> encoded = std::exchange(encoded_[bucket], std::nullopt);
    if (encoded.has_value() && encoded->finite) actions->emplace_back(TakeBackUpdate{bucket, encoded->update});
  }
  to_encode_ = to_release_ = 0;
}

void StepDriver::Flush(std::vector<StepAction>* actions) {
  if (!batch_.empty()) actions->emplace_back(PushBuckets{batch_.Take()});
}

std::vector<Push> RollForward(const std::vector<uint64_t>& versions) {
  const uint64_t newest = *std::max_element(versions.begin(), versions.end());
  std::vector<Push> pushes;
  for (auto bucket = static_cast<uint32_t>(versions.size()); bucket-- > 0;) {
    if (versions[bucket] == newest) continue;
    Push push;
    push.bucket = bucket;
    push.step = push.base_version = versions[bucket];
    pushes.push_back(std::move(push));
  }
  return pushes;
}

}  // namespace cddp
