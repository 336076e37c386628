#include "worker/trainer/pace.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/config/steps_choice.h"
#include "common/layout/agreed_tensor.h"
#include "worker/exchange/buffer_difference.h"

namespace cddp {
namespace {

// First bytes are reduced, down to a level; then steps added, up to the most; then bytes again. The reverse order back.
RatioControl::Limits LimitsBeside(uint32_t steps) {
  RatioControl::Limits limits;
  if (steps < kMostLocalSteps) limits.lowest = RatioControl::kLowestBesideSteps;
  limits.may_go_up = steps <= kFewestLocalSteps;
  return limits;
}

}  // namespace

void Pace::AddTensors(const TrainerOptions& options, std::vector<TensorSpec>* tensors) {
  if (options.local_steps.kind == StepsChoice::Kind::kFixed) return;
  const auto counters = std::find_if(tensors->begin(), tensors->end(),
                                     [](const TensorSpec& tensor) { return tensor.kind == TensorKind::kCounter; });
  tensors->insert(counters, {std::string(kAgreedTensor), {kAgreedElements}, TensorKind::kBuffer});
}

absl::StatusOr<std::unique_ptr<Pace>> Pace::Create(const TrainerOptions& options, uint64_t steps_per_epoch) {
  std::unique_ptr<Pace> pace(new Pace(options, steps_per_epoch));
  if (options.local_steps.kind == StepsChoice::Kind::kFixed) return pace;
  if (const uint64_t all = options.epochs * steps_per_epoch; all > kMostAgreedPosition) {
    return absl::InvalidArgumentError(absl::StrCat("--local_steps=auto can count ", kMostAgreedPosition,
                                                   " steps, but --epochs=", options.epochs, " have ", all,
                                                   ": give fewer epochs or a number of local steps"));
  }
  absl::StatusOr<std::unique_ptr<AgreedRounds>> agreed =
      AgreedRounds::Create(options.local_steps, options.local_steps_log);
  if (!agreed.ok()) return agreed.status();
  pace->agreed_ = *std::move(agreed);
  return pace;
}

absl::Status Pace::ChooseRatio(BucketEngine& engine) {
  if (options_.ratio.kind == RatioChoice::Kind::kFixed) return absl::OkStatus();
  if (absl::Status can = engine.SetLevel({}); !can.ok()) return absl::InvalidArgumentError(can.message());
  std::string log = options_.ratio_log;
  if (log.empty() && !options_.checkpoint_dir.empty()) {
    log = absl::StrCat(options_.checkpoint_dir, "/worker-", options_.cluster.rank, ".ratio");
  }
  absl::StatusOr<std::unique_ptr<AdaptiveRatio>> ratio = AdaptiveRatio::Create(
      options_.ratio, log, decides_steps() ? RatioControl::kLowestBesideSteps : RatioControl::kFirstLevel);
  if (!ratio.ok()) return ratio.status();
  adaptive_ratio_ = *std::move(ratio);
  return absl::OkStatus();
}

absl::Status Pace::UseElementsOf(LocalOptimizer* optimizer, const Device& device, size_t model_elements) {
  if (!decides_steps()) return absl::OkStatus();
  optimizer_ = optimizer;
  device_ = device;
  model_elements_ = model_elements;
  return CopyFromHost(device_, agreed_->FirstElements(), AgreedOf(optimizer_->replica()));
}

absl::Status Pace::Begin(uint64_t exchange, uint64_t counted) {
  absl::Status status;
  if (decides_steps()) status = agreed_->Begin(exchange);
  if (status.ok() && decides_ratio()) status = adaptive_ratio_->Begin(exchange, counted);
  return status;
}

absl::Status Pace::BeginRound(GradientExchange* exchange) {
  if (decides_ratio()) {
    if (absl::Status status = exchange->SetLevel(LevelOf(exchange->step())); !status.ok()) return status;
  }
  if (!decides_steps()) return absl::OkStatus();
  const uint64_t made = StepsOfRound(agreed_->now(), steps_per_epoch_);
  std::vector<float> difference(kAgreedElements);
  BufferDifference(published_, agreed_->Next(exchange->step(), made), absl::MakeSpan(difference));
  return CopyFromHost(device_, difference, AgreedOf(optimizer_->difference()));
}

absl::Status Pace::ReadPublished() {
  if (!decides_steps()) return absl::OkStatus();
  absl::StatusOr<std::vector<float>> published = OnHost(device_, AgreedOf(optimizer_->replica()));
  if (!published.ok()) return published.status();
  published_ = *std::move(published);
  agreed_->ReadPublished(published_);
  return absl::OkStatus();
}

absl::StatusOr<Pace::Changes> Pace::NoteRound(uint64_t exchange, uint64_t next, double compute_seconds,
                                              double wait_seconds) {
  Changes changes;
  RatioControl::Limits limits;
  if (decides_steps()) {
    limits = LimitsBeside(agreed_->before().steps);
    const bool can_send_less = decides_ratio() && adaptive_ratio_->CanSendLess(limits);
    const absl::StatusOr<bool> changed = agreed_->NoteRound(next, compute_seconds, wait_seconds, can_send_less);
    if (!changed.ok()) return changed.status();
    changes.steps = *changed;
  }
  if (!decides_ratio()) return changes;
  const absl::StatusOr<bool> changed = adaptive_ratio_->NoteRound(exchange, compute_seconds, wait_seconds, limits);
  if (!changed.ok()) return changed.status();
  changes.ratio = *changed;
  if (decides_steps() && agreed_->now().steps != agreed_->before().steps) adaptive_ratio_->StartWindow();
  return changes;
}

StepRange Pace::StepsOf(uint64_t exchange, const AgreedSteps& (AgreedRounds::*agreed)() const) const {
  if (decides_steps()) {
    const AgreedSteps& round = (*agreed_.*agreed)();
    return {round.position, round.position + StepsOfRound(round, steps_per_epoch_)};
  }
  const uint64_t each = options_.local_steps.steps;
  return {StepsOfExchanges(exchange - 1, each, steps_per_epoch_), StepsOfExchanges(exchange, each, steps_per_epoch_)};
}

}  // namespace cddp
