#include "worker/buckets/checked_buckets.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

// The difference between two encodings of a bucket; null: none.
const char* Difference(const EncodedBucket& engine, const EncodedBucket& host) {
  if (engine.finite != host.finite) return "whether its gradient is finite";
  if (engine.update.view() != host.update.view()) return "its bytes";
  if (engine.selected != host.selected) return "the number of elements sent";
  if (engine.replica_crc32c != host.replica_crc32c) return "the checksum of its weights";
  return nullptr;
}

void Note(const char* what, uint32_t bucket, absl::Status* first) {
  first->Update(absl::InternalError(absl::StrCat("--check_engine: bucket ", bucket, ": ", what,
                                                 " differ from the host engine's: a fault of this ",
                                                 "machine or of cddp-worker; train with --device=cpu, and report it")));
}

}  // namespace

CheckedBuckets::CheckedBuckets(const ParameterLayout& layout, std::unique_ptr<BucketEngine> engine,
                               std::unique_ptr<HostBuckets> host, CopyToHost copy)
    : layout_(layout),
      engine_(std::move(engine)),
      host_(std::move(host)),
      copy_(std::move(copy)),
      host_gradients_(layout.total_elements()),
      host_weights_(layout.total_elements()) {}

void CheckedBuckets::Compare(const char* what, uint32_t bucket, bool equal) {
  if (equal) return;
  MutexLock lock(findings_->mutex);
  Note(what, bucket, &findings_->status);
}

void CheckedBuckets::Bind(absl::Span<const float> gradients, absl::Span<float> weights) {
  engine_->Bind(gradients, weights);
  gradients_ = gradients;
  const absl::Status copied = copy_(weights, absl::MakeSpan(host_weights_));
  {
    MutexLock lock(findings_->mutex);
    findings_->status.Update(copied);
  }
  host_->Bind(gradients.empty() ? absl::Span<const float>() : absl::MakeConstSpan(host_gradients_),
              absl::MakeSpan(host_weights_));
}

absl::Status CheckedBuckets::SetLevel(const SendLevel& level) {
  absl::Status status = host_->SetLevel(level);
  return status.ok() ? engine_->SetLevel(level) : status;
}

void CheckedBuckets::BeginGradients(uint64_t step) {
  engine_->BeginGradients(step);
  if (needs_whole_gradient()) {
    const absl::Status copied = copy_(gradients_, absl::MakeSpan(host_gradients_));
    MutexLock lock(findings_->mutex);
    findings_->status.Update(copied);
  }
  host_->BeginGradients(step);
}

void CheckedBuckets::Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) {
  const ElementRange range = layout_.bucket_range(bucket);
  const absl::Status copied = copy_(gradients_.subspan(range.begin, range.size()),
                                    absl::MakeSpan(host_gradients_).subspan(range.begin, range.size()));
  EncodedBucket expected;
  // On the host it completes before this returns.
  host_->Encode(bucket, nullptr, with_checksum, [&expected](EncodedBucket encoded) { expected = std::move(encoded); });
  engine_->Encode(bucket, ready, with_checksum,
                  [bucket, copied, findings = findings_, expected = std::move(expected),
                   done = std::move(done)](EncodedBucket encoded) {
                    {
                      MutexLock lock(findings->mutex);
                      findings->status.Update(copied);
                      const char* const what = Difference(encoded, expected);
                      if (what != nullptr) Note(what, bucket, &findings->status);
                    }
                    done(std::move(encoded));
                  });
}

void CheckedBuckets::TakeBack(uint32_t bucket, const SharedBytes& update) {
  engine_->TakeBack(bucket, update);
  host_->TakeBack(bucket, update);
}

void CheckedBuckets::Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) {
  absl::Status on_host;
  host_->Apply(bucket, reply, pushed, [&on_host](absl::Status status) { on_host = std::move(status); });
  engine_->Apply(bucket, reply, pushed,
                 [bucket, on_host, findings = findings_, done = std::move(done)](absl::Status status) {
                   {
                     MutexLock lock(findings->mutex);
                     if (status.ok() != on_host.ok()) Note("the replies that it takes", bucket, &findings->status);
                     status.Update(findings->status);
                   }
                   done(std::move(status));
                 });
}

SharedBytes CheckedBuckets::EncodeWeights(uint32_t bucket) {
  SharedBytes encoded = engine_->EncodeWeights(bucket);
  Compare("its encoded weights", bucket, encoded.view() == host_->EncodeWeights(bucket).view());
  return encoded;
}

void CheckedBuckets::SetWeights(uint32_t bucket, absl::Span<const float> weights) {
  engine_->SetWeights(bucket, weights);
  host_->SetWeights(bucket, weights);
}

void CheckedBuckets::ClearWeights(uint32_t bucket) {
  engine_->ClearWeights(bucket);
  host_->ClearWeights(bucket);
}

absl::Status CheckedBuckets::SetState(const BucketEngineState& state) {
  absl::Status status = engine_->SetState(state);
  status.Update(host_->SetState(state));
  return status;
}

}  // namespace cddp
