#include "worker/checkpoint/remade_buckets.h"

#include <string>
#include <utility>

#include "common/codec/update_codec.h"

namespace cddp {
namespace {

// The update with every value's sign changed, in fp32; empty if it cannot be read.
SharedBytes Negated(const SharedBytes& update, uint32_t length) {
  absl::StatusOr<DecodedUpdate> decoded = DecodeUpdate(update.view(), length);
  if (!decoded.ok() || decoded->indices.empty()) return {};
  for (float& value : decoded->values) value = -value;
  std::string bytes;
  EncodeSparse(decoded->indices, absl::MakeSpan(decoded->values), length, IndexEncoding::kGap8, ValueEncoding::kFp32,
               &bytes);
  return SharedBytes::Own(std::move(bytes));
}

// Whether sending it leaves a residual. All elements in fp32 leave none, and neither do buffers.
bool LeavesResidual(const SharedBytes& update, uint32_t length) {
  const absl::StatusOr<UpdateParts> parts = SplitUpdate(update.view(), length);
  return parts.ok() && (parts->info.count < length || parts->info.value_encoding != ValueEncoding::kFp32);
}

}  // namespace

void RemadeBuckets::BeginGradients(uint64_t step) {
  step_ = step;
  engine_->BeginGradients(step);
}

void RemadeBuckets::Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) {
  engine_->Encode(bucket, ready, with_checksum,
                  [this, step = step_, bucket, done = std::move(done)](EncodedBucket encoded) {
                    done(Remake(step, bucket, std::move(encoded)));
                  });
}

EncodedBucket RemadeBuckets::Remake(uint64_t step, uint32_t bucket, EncodedBucket encoded) {
  if (log_ == nullptr) return encoded;
  const std::optional<SharedBytes> sent = log_->Find(step, bucket);
  if (!sent.has_value()) {
    if (encoded.finite && LeavesResidual(encoded.update, layout_.bucket_length(bucket)))
      log_->Note(step, bucket, encoded.update.view());
    return encoded;
  }
  remade_.fetch_add(1);
  if (sent->view() == encoded.update.view() || !ValidateUpdate(sent->view(), layout_.bucket_length(bucket)).ok()) {
    return encoded;
  }
  differed_.fetch_add(1);
  MutexLock lock(mutex_);
  replaced_[bucket] = {true, std::move(encoded.update), *sent};
  encoded.finite = true;
  encoded.update = *sent;
  return encoded;
}

void RemadeBuckets::Settle(uint32_t bucket) {
  Replaced replaced;
  {
    MutexLock lock(mutex_);
    replaced = std::exchange(replaced_[bucket], {});
  }
  if (!replaced.is) return;
  if (!replaced.own.empty()) engine_->TakeBack(bucket, replaced.own);
  const SharedBytes negated = Negated(replaced.sent, layout_.bucket_length(bucket));
  if (!negated.empty()) engine_->TakeBack(bucket, negated);
}

void RemadeBuckets::TakeBack(uint32_t bucket, const SharedBytes& update) {
  Settle(bucket);
  engine_->TakeBack(bucket, update);
}

void RemadeBuckets::Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) {
  Settle(bucket);
  engine_->Apply(bucket, reply, pushed, std::move(done));
}

}  // namespace cddp
