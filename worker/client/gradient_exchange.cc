#include "worker/client/gradient_exchange.h"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/codec/crc32c.h"
#include "common/codec/update_codec.h"
#include "common/compress/finite.h"
#include "common/transport/call_size.h"
#include "common/transport/protocol.h"

namespace cddp {
namespace {

template <typename T>
absl::Span<T> Slice(absl::Span<T> all, const ElementRange& range) {
  return all.subspan(range.begin, range.size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<GradientExchange>> GradientExchange::Create(const ParameterLayout& layout,
                                                                           const GradientCompressorOptions& options,
                                                                           ClusterClient* client) {
  absl::StatusOr<std::unique_ptr<GradientCompressor>> compressor =
      GradientCompressor::Create(layout, options, static_cast<int>(client->worker_count()));
  if (!compressor.ok()) return compressor.status();
  return std::unique_ptr<GradientExchange>(new GradientExchange(layout, *std::move(compressor), client));
}

GradientExchange::GradientExchange(const ParameterLayout& layout, std::unique_ptr<GradientCompressor> compressor,
                                   ClusterClient* client)
    : layout_(layout),
      compressor_(std::move(compressor)),
      client_(*client),
      updates_(layout.bucket_count()),
      versions_(layout.bucket_count()),
      mailbox_(std::make_shared<StepMailbox>()),
      thread_([this] { Run(); }) {}

GradientExchange::~GradientExchange() {
  mailbox_->End();
  thread_.join();
}

absl::Status GradientExchange::Initialise(absl::Span<float> weights, bool is_source) {
  Open(is_source ? Content::kWeights : Content::kNothing, {}, weights, /*refuse=*/false);
  return Finish().status();
}

void GradientExchange::Begin(absl::Span<const float> gradients, absl::Span<float> weights, bool refuse) {
  Open(Content::kGradients, gradients, weights, refuse);
}

void GradientExchange::Open(Content content, absl::Span<const float> gradients, absl::Span<float> weights,
                            bool refuse) {
  content_ = content;
  refuse_ = refuse;
  gradients_ = gradients;
  weights_ = weights;
  traffic_ = {};
  residual_sq_ = 0;
  status_ = absl::OkStatus();
  first_push_ = absl::InfiniteFuture();
  mailbox_->Open();
}

absl::StatusOr<StepTraffic> GradientExchange::Finish() {
  const absl::Time begin = absl::Now();
  mailbox_->Ready(0);
  mailbox_->AwaitDone();
  if (!status_.ok()) return status_;
  traffic_.exchange_seconds = absl::ToDoubleSeconds(absl::Now() - std::max(begin, compressed_));
  traffic_.residual_norm = std::sqrt(residual_sq_);
  return traffic_;
}

absl::StatusOr<StepTraffic> GradientExchange::Step(absl::Span<const float> gradients, absl::Span<float> weights) {
  Begin(gradients, weights, /*refuse=*/!AllFinite(gradients));
  return Finish();
}

void GradientExchange::Run() {
  // LibTorch's setting to round denormals to zero comes along from the training thread. Here every bit must be the
  // server's, and decoding of half-precision values passes through denormals.
  std::fesetenv(FE_DFL_ENV);
  while (mailbox_->AwaitStep()) RunStep();
}

void GradientExchange::RunStep() {
  const bool is_step = content_ != Content::kRollForward;
  uint32_t to_push = is_step ? layout_.bucket_count() : 0;
  uint32_t to_apply = to_push;
  bool began = false;
  while (to_push > 0 || to_apply > 0) {
    std::optional<uint64_t> needed;
    if (to_push > 0) {  // clipping looks at the whole gradient before the first push
      const bool whole = !began && compressor_->needs_whole_gradient();
      needed = whole ? 0 : layout_.bucket_range(to_push - 1).begin;
    }
    if (!needed.has_value() || !mailbox_->IsReady(*needed)) Flush();
    StepMailbox::Event event = mailbox_->Next(needed);
    if (event.end) return;
    if (!event.answer.has_value()) {
      if (!began && content_ == Content::kGradients && !refuse_) compressor_->BeginStep(step_, gradients_);
      began = true;
      Push(--to_push);
      continue;
    }
    --to_apply;  // after an error, too, every answer is awaited
    auto& [bucket, update] = *event.answer;
    const absl::Time begin = trace_ == nullptr ? absl::Time() : absl::Now();
    status_.Update(update.ok() ? Apply(bucket, &*update) : update.status());
    if (trace_ != nullptr) Trace("apply", bucket, begin, absl::Now());
  }
  if (is_step) {
    batch_.set_full_bytes(FullCallBytes(static_cast<double>(traffic_.pushed_bytes + traffic_.pulled_bytes),
                                        absl::ToDoubleSeconds(absl::Now() - first_push_)));
  }
  if (client_.all_contribute()) RollForward();
  if (is_step) ++step_;
  if (const uint64_t newest = *std::max_element(versions_.begin(), versions_.end());
      client_.is_sync() && newest > step_) {
    if (is_step) traffic_.missed = newest - step_;
    step_ = newest;
  }
  mailbox_->StepDone();
}

void GradientExchange::RollForward() {
  while (status_.ok()) {
    const uint64_t newest = *std::max_element(versions_.begin(), versions_.end());
    uint32_t to_apply = 0;
    for (uint32_t bucket = layout_.bucket_count(); bucket-- > 0;) {
      if (versions_[bucket] == newest) continue;
      updates_[bucket].clear();
      Send(bucket, /*non_finite=*/false);
      ++to_apply;
    }
    if (to_apply == 0) return;
    Flush();
    for (; to_apply > 0; --to_apply) {
      StepMailbox::Event event = mailbox_->Next(std::nullopt);
      if (event.end) return;
      auto& [bucket, update] = *event.answer;
      status_.Update(update.ok() ? Apply(bucket, &*update) : update.status());
    }
  }
}

void GradientExchange::Push(uint32_t bucket) {
  const absl::Time begin = absl::Now();
  if (!Encode(bucket, &updates_[bucket])) {
    refuse_ = true;
    updates_[bucket].clear();
  }
  compressed_ = absl::Now();
  traffic_.compress_seconds += absl::ToDoubleSeconds(compressed_ - begin);
  traffic_.pushed_bytes += updates_[bucket].size();
  if (trace_ != nullptr) Trace("compress", bucket, begin, compressed_);
  Send(bucket, refuse_);
}

void GradientExchange::Send(uint32_t bucket, bool non_finite) {
  const uint64_t step = client_.is_sync() ? versions_[bucket] : step_;
  std::optional<uint32_t> replica_crc32c;
  if (ReplicaIsChecked(bucket, versions_[bucket])) {
    const absl::Span<float> replica = Slice(weights_, layout_.bucket_range(bucket));
    replica_crc32c = Crc32c(replica.data(), replica.size() * sizeof(float));
  }
  PushedUpdate push = {bucket, step, versions_[bucket], std::move(updates_[bucket]), non_finite, replica_crc32c};
  const uint32_t server = client_.server_of(bucket);
  const uint64_t length = layout_.bucket_length(bucket);
  if (!batch_.Takes(server, push, length)) Flush();
  batch_.Add(server, std::move(push), length);
}

void GradientExchange::Flush() {
  if (batch_.empty()) return;
  const absl::Time now = absl::Now();
  first_push_ = std::min(first_push_, now);
  client_.Exchange(batch_.Take(),
                   [mailbox = mailbox_, trace = trace_, pushed = now, step = static_cast<int64_t>(step_)](
                       uint32_t bucket, absl::StatusOr<PulledUpdate> answer) {
                     if (trace != nullptr) {
                       const int64_t bytes = answer.ok() ? static_cast<int64_t>(answer->pushed.size()) : 0;
                       trace->UnderWay("exchange", pushed, absl::Now(), {step, bucket, bytes});
                     }
                     mailbox->Put(bucket, std::move(answer));
                   });
}

void GradientExchange::Trace(absl::string_view name, uint32_t bucket, absl::Time begin, absl::Time end) {
  trace_->Span(TraceFile::Row::kExchange, name, begin, end, {static_cast<int64_t>(step_), bucket});
}

bool GradientExchange::Encode(uint32_t bucket, std::string* update) {
  update->clear();
  const ElementRange range = layout_.bucket_range(bucket);
  if (content_ != Content::kGradients) {
    const absl::Span<float> weights = Slice(weights_, range);
    if (content_ == Content::kWeights) EncodeDense(weights, ValueEncoding::kFp32, update);
    std::fill(weights.begin(), weights.end(), 0.0f);
    return true;
  }
  if (refuse_) return false;
  absl::StatusOr<CompressResult> result = compressor_->Compress(bucket, Slice(gradients_, range), update);
  if (!result.ok()) return false;  // not finite; the residual is untouched
  traffic_.selected += result->selected;
  residual_sq_ += result->residual_sq;
  return true;
}

absl::Status GradientExchange::Apply(uint32_t bucket, PulledUpdate* answer) {
  const ElementRange range = layout_.bucket_range(bucket);
  updates_[bucket] = std::move(answer->pushed);
  if (answer->refused) {
    traffic_.refused = true;
    compressor_->Refused(bucket, updates_[bucket]);
  } else if (content_ == Content::kGradients) {
    compressor_->Accepted(bucket, updates_[bucket]);
  }
  const absl::Span<float> replica = Slice(weights_, range);
  // Minus zero is what addition leaves unchanged, so that the sum below is the update bit for bit.
  if (answer->replaces) {
    ++traffic_.replaced;
    std::fill(replica.begin(), replica.end(), -0.0f);
  }
  for (const std::string& update : answer->updates) {
    traffic_.pulled_bytes += update.size();
    if (absl::Status status = AddUpdate(update, replica); !status.ok()) return status;
  }
  versions_[bucket] = answer->version;
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
  if (!client_.all_contribute()) return absl::OkStatus();
  Open(Content::kRollForward, {}, weights, /*refuse=*/false);
  return Finish().status();
}

absl::Status GradientExchange::SetState(const ExchangeState& state) {
  if (state.versions.size() != versions_.size()) return absl::InvalidArgumentError("the versions are of another model");
  if (absl::Status status = compressor_->SetState(state.compressor); !status.ok()) return status;
  step_ = state.step;
  versions_ = state.versions;
  return absl::OkStatus();
}

}  // namespace cddp
