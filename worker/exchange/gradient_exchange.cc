#include "worker/exchange/gradient_exchange.h"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <functional>
#include <utility>
#include <variant>

#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "common/compress/finite.h"
#include "common/transport/call_size.h"
#include "worker/exchange/between_steps.h"

namespace cddp {
namespace {

StepRules RulesOf(const ParameterLayout& layout, const BucketEngine& engine, const Cluster& cluster) {
  StepRules rules;
  for (uint32_t bucket = 0; bucket < layout.bucket_count(); ++bucket) {
    rules.server_of.push_back(cluster.server_of(bucket));
  }
  rules.is_sync = cluster.is_sync();
  rules.needs_whole_gradient = engine.needs_whole_gradient();
  rules.most_encodings = engine.most_encodings();
  return rules;
}

// Of the update for `bucket`.
int64_t BytesOf(const std::vector<std::pair<uint32_t, size_t>>& sizes, uint32_t bucket) {
  for (const auto& [of, bytes] : sizes) {
    if (of == bucket) return static_cast<int64_t>(bytes);
  }
  return 0;
}

absl::Status Cancelled() { return absl::CancelledError("the exchange was cancelled"); }

}  // namespace

GradientExchange::GradientExchange(const ParameterLayout& layout, std::unique_ptr<BucketEngine> engine,
                                   Cluster* cluster)
    : layout_(layout),
      engine_(std::move(engine)),
      cluster_(*cluster),
      driver_(layout, RulesOf(layout, *engine_, cluster_)),
      trace_begin_(layout.bucket_count()),
      mailbox_(std::make_shared<ExchangeMailbox>()),
      thread_([this] { Run(); }) {}

GradientExchange::~GradientExchange() {
  mailbox_->End();
  thread_.join();
}

void GradientExchange::Run() {
  // The thread inherits LibTorch's mode that rounds denormals to zero from the training thread. Here every bit must be
  // the server's, and decoding of half-precision values passes through denormals.
  std::fesetenv(FE_DFL_ENV);
  while (std::optional<ExchangeMailbox::Task> task = mailbox_->AwaitTask()) {
    (*task)();
    mailbox_->TaskDone();
  }
}

absl::Status GradientExchange::Await(std::function<absl::Status()> task) {
  mailbox_->Start([this, task = std::move(task)] { status_ = task(); });
  mailbox_->AwaitDone();
  if (mailbox_->ended()) return Cancelled();
  return status_;
}

absl::Status GradientExchange::Initialise(absl::Span<float> weights, bool is_source) {
  return Await([this, weights, is_source] {
    engine_->Bind({}, weights);
    const absl::Status status = InitialiseWeights({layout_, *engine_, cluster_, mailbox_, driver_}, is_source);
    return status.ok() ? MakeOneVersion() : status;
  });
}

absl::Status GradientExchange::CatchUp(absl::Span<float> weights) {
  return Await([this, weights] {
    engine_->Bind({}, weights);
    const absl::Status status = CatchUpWithOthers({layout_, *engine_, cluster_, mailbox_, driver_});
    return status.ok() ? MakeOneVersion() : status;
  });
}

// With a quorum, too: a worker that was late in some buckets would wait in a newer round of others, for a worker that
// waits for it in one of those.
absl::Status GradientExchange::MakeOneVersion() {
  if (!cluster_.is_sync()) return absl::OkStatus();
  const absl::Status status = RollForward({layout_, *engine_, cluster_, mailbox_, driver_});
  if (status.ok()) driver_.set_step(driver_.newest_version());
  return status;
}

void GradientExchange::Begin(absl::Span<const float> gradients, absl::Span<float> weights, bool refuse,
                             std::optional<float> weight) {
  mailbox_->Start([this, gradients, weights, refuse, weight] {
    engine_->Bind(gradients, weights);
    RunStep(refuse, weight);
  });
}

absl::StatusOr<StepTraffic> GradientExchange::Finish(ReadyToken token) {
  const absl::Duration begin = MonotonicNow();
  mailbox_->NoteReady(0, std::move(token));
  mailbox_->AwaitDone();
  if (mailbox_->ended()) return Cancelled();
  if (!status_.ok()) return status_;
  traffic_.exchange_seconds = absl::ToDoubleSeconds(MonotonicNow() - std::max(begin, encoded_));
  return traffic_;
}

absl::StatusOr<StepTraffic> GradientExchange::Step(absl::Span<const float> gradients, absl::Span<float> weights) {
  Begin(gradients, weights, /*refuse=*/!AllFinite(gradients));
  return Finish();
}

void GradientExchange::RunStep(bool refuse, std::optional<float> weight) {
  traffic_ = {};
  token_ = nullptr;
  encoding_ = 0;
  encoded_ = -absl::InfiniteDuration();
  first_push_ = absl::InfiniteDuration();
  driver_.Begin(refuse, weight);
  while (!driver_.done()) {
    if (!mailbox_->HasNext()) engine_->Flush();
    if (!Handle(mailbox_->Next())) return;
    if (!driver_.status().ok()) cluster_.CancelExchanges(driver_.status());
  }
  const StepCounts& counts = driver_.counts();
  driver_.set_full_call_bytes(FullCallBytes(static_cast<double>(counts.pushed_bytes + counts.pulled_bytes),
                                            absl::ToDoubleSeconds(MonotonicNow() - first_push_)));
  traffic_.pushed_bytes = counts.pushed_bytes;
  traffic_.pulled_bytes = counts.pulled_bytes;
  traffic_.selected = counts.selected;
  traffic_.residual_norm = std::sqrt(counts.residual_sq);
  traffic_.refused = counts.refused;
  traffic_.replaced = counts.replaced;
  status_ = driver_.status();
  if (status_.ok() && cluster_.is_sync()) {
    status_ = RollForward({layout_, *engine_, cluster_, mailbox_, driver_});
  }
  traffic_.missed = driver_.End();
}

bool GradientExchange::Handle(ExchangeMailbox::Event event) {
  if (auto* ready = std::get_if<ExchangeMailbox::Ready>(&event)) {
    token_ = std::move(ready->token);
    Perform(driver_.Ready(ready->begin));
  } else if (auto* encoded = std::get_if<ExchangeMailbox::Encoded>(&event)) {
    NoteEncoded(encoded->bucket);
    Perform(driver_.Encoded(encoded->bucket, std::move(encoded->result)));
  } else if (auto* answered = std::get_if<ExchangeMailbox::Answered>(&event)) {
    Perform(driver_.Answered(answered->bucket, std::move(answered->reply)));
  } else if (auto* applied = std::get_if<ExchangeMailbox::Applied>(&event)) {
    Perform(driver_.Applied(applied->bucket, applied->status));
  } else {
    return false;
  }
  return true;
}

void GradientExchange::Perform(std::vector<StepAction> actions) {
  for (StepAction& action : actions) {
    std::visit([this](auto& one) { Perform(one); }, action);
  }
}

void GradientExchange::Perform(BeginGradients& begin) { engine_->BeginGradients(begin.step); }

void GradientExchange::Perform(EncodeBucket& encode) {
  if (encoding_++ == 0) encoding_since_ = MonotonicNow();
  if (trace_ != nullptr) trace_begin_[encode.bucket] = SteadyNow();
  engine_->Encode(encode.bucket, token_, encode.with_checksum,
                  [mailbox = mailbox_, bucket = encode.bucket](EncodedBucket result) {
                    mailbox->Post(ExchangeMailbox::Encoded{bucket, std::move(result)});
                  });
}

void GradientExchange::NoteEncoded(uint32_t bucket) {
  encoded_ = MonotonicNow();
  if (--encoding_ == 0) traffic_.compress_seconds += absl::ToDoubleSeconds(encoded_ - encoding_since_);
  if (trace_ != nullptr) Trace("compress", bucket, trace_begin_[bucket]);
}

void GradientExchange::Perform(PushBuckets& push) {
  first_push_ = std::min(first_push_, MonotonicNow());
  if (trace_ == nullptr) {
    cluster_.Exchange(std::move(push.pushes), [mailbox = mailbox_](uint32_t bucket, absl::StatusOr<PushReply> reply) {
      mailbox->Post(ExchangeMailbox::Answered{bucket, std::move(reply)});
    });
    return;
  }
  std::vector<std::pair<uint32_t, size_t>> sizes;
  for (const Push& one : push.pushes) sizes.emplace_back(one.bucket, one.update.size());
  cluster_.Exchange(std::move(push.pushes),
                    [mailbox = mailbox_, trace = trace_, pushed = SteadyNow(), step = static_cast<int64_t>(step()),
                     sizes = std::move(sizes)](uint32_t bucket, absl::StatusOr<PushReply> reply) {
                      trace->UnderWay("exchange", pushed, SteadyNow(), {step, bucket, BytesOf(sizes, bucket)});
                      mailbox->Post(ExchangeMailbox::Answered{bucket, std::move(reply)});
                    });
}

void GradientExchange::Perform(TakeBackUpdate& take_back) { engine_->TakeBack(take_back.bucket, take_back.update); }

void GradientExchange::Perform(ApplyReply& apply) {
  const absl::Time begin = trace_ == nullptr ? absl::Time() : SteadyNow();
  engine_->Apply(apply.bucket, apply.reply, apply.pushed,
                 [mailbox = mailbox_, bucket = apply.bucket](absl::Status status) {
                   mailbox->Post(ExchangeMailbox::Applied{bucket, std::move(status)});
                 });
  if (trace_ != nullptr) Trace("apply", apply.bucket, begin);
}

void GradientExchange::Trace(absl::string_view name, uint32_t bucket, absl::Time begin) const {
  trace_->Span(TraceFile::Row::kExchange, name, begin, SteadyNow(), {static_cast<int64_t>(step()), bucket});
}

absl::Status GradientExchange::SetState(const ExchangeState& state) {
  if (state.versions.size() != layout_.bucket_count()) {
    return absl::InvalidArgumentError("the versions are of another model");
  }
  if (absl::Status status = engine_->SetState(state.engine); !status.ok()) return status;
  driver_.set_step(state.step);
  for (uint32_t bucket = 0; bucket < layout_.bucket_count(); ++bucket) {
    driver_.set_version(bucket, state.versions[bucket]);
  }
  return absl::OkStatus();
}

}  // namespace cddp
