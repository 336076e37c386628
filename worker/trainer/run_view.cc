#include "worker/trainer/run_view.h"

#include <spdlog/spdlog.h>

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/clock/steady_time.h"
#include "worker/exchange/traffic_scalars.h"

namespace cddp {

absl::Status RunView::Open(const TrainerOptions& options) {
  if (!options.trace.empty()) {
    auto trace = TraceFile::Create(options.trace, absl::StrCat("worker ", rank_), rank_);
    if (!trace.ok()) return trace.status();
    trace_ = *std::move(trace);
  }
  if (rank_ == 0 && !options.tensorboard.empty()) {
    absl::StatusOr<std::unique_ptr<EventFile>> events = EventFile::Create(options.tensorboard);
    if (!events.ok()) return absl::InvalidArgumentError(absl::StrCat("--tensorboard: ", events.status().message()));
    tensorboard_ = *std::move(events);
    spdlog::info("event=tensorboard file=\"{}\"", tensorboard_->path());
  }
  if (!options.metrics_listen.empty()) {
    absl::StatusOr<std::unique_ptr<MetricsServer>> server =
        MetricsServer::Start(options.metrics_listen, metrics_.registry());
    if (!server.ok()) return server.status();
    metrics_server_ = *std::move(server);
    spdlog::info("event=metrics address={}", metrics_server_->address());
  }
  return absl::OkStatus();
}

void RunView::StepsChosen(uint64_t exchange, uint32_t steps) {
  progress_.LocalSteps(exchange, steps);
  metrics_.NoteLocalSteps(steps);
  Mark(exchange, absl::StrCat("local steps ", steps));
}

void RunView::RatioChosen(uint64_t exchange, const SendLevel& level) {
  progress_.Ratio(exchange, level);
  metrics_.NoteRatio(level.ratio);
  Mark(exchange, absl::StrCat("ratio ", level.ratio, " ", Name(level.value_encoding)));
}

void RunView::Mark(uint64_t exchange, const std::string& what) {
  if (trace_ == nullptr) return;
  const absl::Time now = SteadyNow();
  trace_->Span(TraceFile::Row::kTraining, what, now, now, {static_cast<int64_t>(exchange)});
}

void RunView::PassesMade(uint64_t exchange, absl::Time begin, absl::Time loss_time) {
  if (trace_ == nullptr) return;
  const TraceLabels labels = {static_cast<int64_t>(exchange)};
  trace_->Span(TraceFile::Row::kTraining, "forward", begin, loss_time, labels);
  trace_->Span(TraceFile::Row::kTraining, "backward", loss_time, SteadyNow(), labels);
}

void RunView::Waited(uint64_t exchange, absl::Time begin) {
  if (trace_ == nullptr) return;
  trace_->Span(TraceFile::Row::kTraining, "wait", begin, SteadyNow(), {static_cast<int64_t>(exchange)});
}

void RunView::Exchanged(uint64_t exchange, uint64_t next, const StepTraffic& traffic, uint64_t steps,
                        uint64_t elements) {
  if (traffic.replaced > 0) {
    spdlog::warn(
        "event=weights_replaced step={} buckets={} reason=\"the servers' logs do not reach back to this worker's "
        "weights, or hold more than the weights, or these were damaged: it goes on from the published weights, with "
        "its residual\"",
        next - 1, traffic.replaced);
  }
  if (traffic.missed > 0) {
    spdlog::warn("event=steps_missed step={} missed={} reason=\"the others went on without this worker\"", exchange,
                 traffic.missed);
  }
  metrics_.NoteExchange(traffic, elements);
  if (tensorboard_ != nullptr) AddTraffic(steps, std::nullopt, traffic, elements, tensorboard_.get());
}

void RunView::LossKnown(uint64_t steps, double loss) {
  if (tensorboard_ == nullptr) return;
  const Scalar scalar = {"loss/train", loss};
  tensorboard_->Add(steps, {scalar});
}

void RunView::Tested(uint64_t steps, const TestResult& test) {
  metrics_.NoteTest(test.loss, test.accuracy);
  if (tensorboard_ == nullptr) return;
  std::vector<Scalar> scalars = {{"loss/test", test.loss}};
  if (!std::isnan(test.accuracy)) scalars.push_back({"accuracy/test", test.accuracy});
  tensorboard_->Add(steps, scalars);
}

void RunView::GpuUsed(const CudaCounts& counts) {
  spdlog::info("event=gpu encode_batches={} apply_batches={} searches={} waits_for_model={}", counts.encode_batches,
               counts.apply_batches, counts.searches, counts.synchronising);
}

void RunView::StepsRemade(const RemadeBuckets::Counts& counts) {
  if (counts.remade == 0 || remade_is_told_) return;
  if (std::exchange(remade_, counts.remade) != counts.remade) return;  // it is not over
  remade_is_told_ = true;
  if (counts.differed == 0) {
    spdlog::info("event=steps_made_again buckets={} differed=0", counts.remade);
    return;
  }
  spdlog::warn(
      "event=steps_made_again buckets={} differed={} reason=\"gradients were not those of the first time, bit for "
      "bit; what was sent then was sent again, and the residual follows it\"",
      counts.remade, counts.differed);
}

}  // namespace cddp
