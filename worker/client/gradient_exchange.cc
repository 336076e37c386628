#include "worker/client/gradient_exchange.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/codec/update_codec.h"
#include "common/compress/finite.h"
#include "worker/client/residual_file.h"

namespace cddp {
namespace {

template <typename T>
absl::Span<T> Slice(absl::Span<T> all, const ElementRange& range) {
  return all.subspan(range.begin, range.size());
}

// Answers cross from gRPC's threads to the training thread here.
class AnswerQueue {
 public:
  struct Entry {
    uint32_t bucket;
    absl::StatusOr<PulledUpdate> answer;
  };

  void Push(uint32_t bucket, absl::StatusOr<PulledUpdate> answer) {
    std::lock_guard lock(mutex_);  // held while notifying: after the last answer the waiter destroys the queue
    entries_.push_back({bucket, std::move(answer)});
    arrived_.notify_one();
  }

  Entry Pop() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !entries_.empty(); });
    Entry entry = std::move(entries_.front());
    entries_.pop_front();
    return entry;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<GradientExchange>> GradientExchange::Create(const ParameterLayout& layout,
                                                                           const GradientExchangeOptions& options,
                                                                           ClusterClient* client) {
  if (!(options.residual_decay >= 0 && options.residual_decay <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("--residual_decay=", options.residual_decay, " is outside [0, 1]"));
  }
  std::unique_ptr<GradientExchange> exchange(new GradientExchange(layout, options.residual_decay, client));
  CompressorOptions compressor_options = options.compressor;
  for (uint32_t bucket = 0; bucket < layout.bucket_count(); ++bucket) {
    compressor_options.always_sent.clear();
    for (const ElementRange& range : layout.SmallTensorRanges(bucket, options.small_tensor_elements)) {
      compressor_options.always_sent.push_back({static_cast<uint32_t>(range.begin), static_cast<uint32_t>(range.end)});
    }
    absl::StatusOr<std::unique_ptr<BucketCompressor>> compressor =
        BucketCompressor::Create(layout.bucket_length(bucket), compressor_options);
    if (!compressor.ok()) return compressor.status();
    exchange->compressors_.push_back(*std::move(compressor));
  }
  return exchange;
}

absl::Status GradientExchange::Initialise(absl::Span<float> weights, bool is_source) {
  for (uint32_t bucket = 0; bucket < layout_.bucket_count(); ++bucket) {
    updates_[bucket].clear();
    if (is_source) {
      EncodeDense(Slice(weights, layout_.bucket_range(bucket)), ValueEncoding::kFp32, &updates_[bucket]);
    }
  }
  std::fill(weights.begin(), weights.end(), 0.0f);
  StepTraffic traffic;
  return PushAndApply(/*non_finite=*/false, weights, &traffic);
}

absl::StatusOr<StepTraffic> GradientExchange::Step(absl::Span<const float> gradients, absl::Span<float> weights) {
  StepTraffic traffic;
  const absl::Time begin = absl::Now();
  const bool finite = CompressAll(gradients, &traffic);
  const absl::Time compressed = absl::Now();
  traffic.compress_seconds = absl::ToDoubleSeconds(compressed - begin);
  if (absl::Status status = PushAndApply(!finite, weights, &traffic); !status.ok()) return status;
  traffic.exchange_seconds = absl::ToDoubleSeconds(absl::Now() - compressed);
  return traffic;
}

bool GradientExchange::CompressAll(absl::Span<const float> gradients, StepTraffic* traffic) {
  if (residual_decay_ != 1) {
    for (float& held : residual_) held *= residual_decay_;
  }
  double residual_sq = 0;
  for (uint32_t i = layout_.bucket_count(); i-- > 0;) {
    const ElementRange range = layout_.bucket_range(i);
    absl::StatusOr<CompressResult> result =
        compressors_[i]->Compress(Slice(gradients, range), Slice(absl::MakeSpan(residual_), range), &updates_[i]);
    if (!result.ok()) {  // not finite; this bucket is untouched, those done before are undone
      for (uint32_t done = i + 1; done < layout_.bucket_count(); ++done) {
        // What was compensated is residual + decoded update; without the gradient it is what it was.
        TakeBack(done);
        const ElementRange undo = layout_.bucket_range(done);
        for (uint64_t e = undo.begin; e < undo.end; ++e) residual_[e] -= gradients[e];
      }
      for (std::string& update : updates_) update.clear();
      return false;
    }
    traffic->selected += result->selected;
    residual_sq += result->residual_sq;
  }
  traffic->residual_norm = std::sqrt(residual_sq);
  return true;
}

void GradientExchange::TakeBack(uint32_t bucket) {
  // Our own bytes: they decode.
  AddUpdate(updates_[bucket], Slice(absl::MakeSpan(residual_), layout_.bucket_range(bucket))).IgnoreError();
}

absl::Status GradientExchange::PushAndApply(bool non_finite, absl::Span<float> weights, StepTraffic* traffic) {
  AnswerQueue answers;
  for (uint32_t bucket = layout_.bucket_count(); bucket-- > 0;) {
    traffic->pushed_bytes += updates_[bucket].size();
    const uint64_t step = client_.is_sync() ? versions_[bucket] : step_;
    // A copy is pushed: ours is needed again if the step is refused.
    client_.Exchange(
        {bucket, step, versions_[bucket], updates_[bucket], non_finite},
        [&answers, bucket](absl::StatusOr<PulledUpdate> answer) { answers.Push(bucket, std::move(answer)); });
  }
  absl::Status status;  // the first error; every answer is awaited all the same, since they refer to `answers`
  for (uint32_t i = 0; i < layout_.bucket_count(); ++i) {
    AnswerQueue::Entry entry = answers.Pop();
    status.Update(entry.answer.ok() ? Apply(entry.bucket, *entry.answer, weights, traffic) : entry.answer.status());
  }
  ++step_;
  if (client_.is_sync()) step_ = std::max(step_, *std::max_element(versions_.begin(), versions_.end()));
  return status;
}

absl::Status GradientExchange::Apply(uint32_t bucket, const PulledUpdate& answer, absl::Span<float> weights,
                                     StepTraffic* traffic) {
  if (answer.refused) {
    traffic->refused = true;
    if (!updates_[bucket].empty()) TakeBack(bucket);
  }
  const absl::Span<float> replica = Slice(weights, layout_.bucket_range(bucket));
  // Minus zero is what addition leaves unchanged, so that the sum below is the update bit for bit.
  if (answer.replaces) std::fill(replica.begin(), replica.end(), -0.0f);
  for (const std::string& update : answer.updates) {
    traffic->pulled_bytes += update.size();
    if (absl::Status status = AddUpdate(update, replica); !status.ok()) return status;
  }
  versions_[bucket] = answer.version;
  return absl::OkStatus();
}

absl::Status GradientExchange::CatchUp(absl::Span<float> weights) {
  const auto take = [&](uint32_t bucket, uint64_t version, absl::Span<const float> published) {
    if (bucket >= layout_.bucket_count() || published.size() != layout_.bucket_length(bucket)) {
      return absl::InternalError(absl::StrCat("bucket ", bucket, " with ", published.size(), " elements is not ours"));
    }
    std::copy(published.begin(), published.end(), weights.begin() + layout_.bucket_range(bucket).begin);
    versions_[bucket] = version;
    return absl::OkStatus();
  };
  if (absl::Status status = client_.ReadSnapshot(take); !status.ok()) return status;
  const uint64_t newest = *std::max_element(versions_.begin(), versions_.end());
  // Where each contribution is a version, the workers' steps together make the versions.
  step_ = client_.is_sync() ? newest : std::max<uint64_t>(newest / client_.worker_count(), 1);
  return absl::OkStatus();
}

absl::Status GradientExchange::Save(const std::string& path) const {
  return WriteResidualFile(path, {layout_.fingerprint(), step_, residual_});
}

absl::Status GradientExchange::Restore(const std::string& path) {
  absl::StatusOr<ResidualState> state = ReadResidualFile(path);
  if (!state.ok()) return state.status();
  if (state->fingerprint != layout_.fingerprint() || state->residual.size() != residual_.size()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is of another model"));
  }
  step_ = state->step;
  residual_ = std::move(state->residual);
  return absl::OkStatus();
}

}  // namespace cddp
