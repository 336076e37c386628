#include "worker/trainer/run_checkpoints.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"
#include "common/codec/byte_io.h"

namespace cddp {
namespace {

// Calls `each` with every field.
template <typename Totals, typename Each>
void ForEachField(Totals& totals, const Each& each) {
  for (auto* field : {&totals.steps, &totals.refused_steps, &totals.pushed_bytes, &totals.pulled_bytes}) each(*field);
  for (auto* field : {&totals.loss, &totals.step_seconds, &totals.compute_seconds, &totals.compress_seconds,
                      &totals.exchange_seconds, &totals.evaluate_seconds}) {
    each(*field);
  }
}

}  // namespace

RunCheckpoints::RunCheckpoints(const RunSettings& settings, uint64_t fingerprint, WorkerMetrics* metrics)
    : files_(settings.options.checkpoint_dir, settings.options.cluster.rank),
      flags_(DescribeForCheckpoint(settings)),
      fingerprint_(fingerprint),
      every_(settings.options.checkpoint_every),
      metrics_(*metrics),
      writer_(files_, [metrics, path = files_.latest_path()](const CheckpointWriter::Written& written) {
        metrics->NoteCheckpoint(written.step, written.time, written.status.ok());
        if (written.status.ok()) {
          spdlog::debug("event=checkpoint step={} seconds={:.3f}", written.step, absl::ToDoubleSeconds(written.time));
        } else {
          spdlog::error("event=checkpoint_failed step={} reason=\"{}\"", written.step,
                        std::string(written.status.message()));
        }
      }) {}

absl::StatusOr<std::optional<WorkerCheckpoint>> RunCheckpoints::Find() {
  if (absl::Status status = files_.Prepare(); !status.ok()) return status;
  absl::StatusOr<std::optional<WorkerCheckpoint>> found = files_.ReadLatest();
  if (!found.ok() || !found->has_value()) return found;
  if (absl::Status status = CheckFits(**found, fingerprint_, flags_); !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(files_.latest_path(), ": ", status.message()));
  }
  if (every_ > 0) next_ = ((*found)->exchange.step / every_ + 1) * every_;
  return found;
}

void RunCheckpoints::BeforeStep(const RunParts& parts, const EpochTotals& totals) {
  const uint64_t step = parts.exchange->step();
  if (every_ == 0 || step < next_) return;
  const bool is_first = next_ == 0;
  next_ = (step / every_ + 1) * every_;
  if (writer_.busy()) {
    spdlog::warn("event=checkpoint_left_out step={} reason=\"the last one is still being written\"", step);
    return;
  }
  if (Take(parts, totals) && is_first) writer_.Wait().IgnoreError();  // it is in the log
}

void RunCheckpoints::Last(const RunParts& parts, const EpochTotals& totals) {
  if (Take(parts, totals)) writer_.Wait().IgnoreError();  // it is in the log
}

bool RunCheckpoints::Take(const RunParts& parts, const EpochTotals& totals) {
  const absl::Duration begin = MonotonicNow();
  absl::StatusOr<std::vector<float>> weights = OnHost(parts.model->device(), std::as_const(*parts.model).weights());
  absl::StatusOr<std::string> optimizer = "";
  if (parts.optimizer != nullptr) optimizer = parts.optimizer->SaveState();
  if (!weights.ok() || !optimizer.ok()) {
    const absl::Status& status = weights.ok() ? optimizer.status() : weights.status();
    spdlog::error("event=checkpoint_failed step={} reason=\"{}\"", parts.exchange->step(),
                  std::string(status.message()));
    return false;
  }
  WorkerCheckpoint checkpoint = {
      fingerprint_,          flags_, parts.exchange->State(), *std::move(weights), parts.model->State(),
      *std::move(optimizer), ""};
  ByteWriter to(&checkpoint.totals);
  ForEachField(totals, [&to](auto field) { to.Put(field); });
  metrics_.NoteCheckpointCopy(MonotonicNow() - begin);
  writer_.Write(std::move(checkpoint));
  return true;
}

absl::StatusOr<EpochTotals> Restore(const WorkerCheckpoint& checkpoint, const RunParts& parts) {
  const absl::Span<float> weights = parts.model->weights();
  if (checkpoint.weights.size() != weights.size()) {
    return absl::InvalidArgumentError("the checkpoint's weights are of another model");
  }
  absl::Status status = parts.exchange->SetState(checkpoint.exchange);
  if (status.ok()) status = parts.model->SetState(checkpoint.model);
  if (status.ok() && parts.optimizer != nullptr) {
    status = parts.optimizer->SetReplica(checkpoint.weights);
    if (status.ok()) status = parts.optimizer->SetState(checkpoint.optimizer);
  }
  if (status.ok()) status = CopyFromHost(parts.model->device(), checkpoint.weights, weights);
  if (!status.ok()) return status;
  parts.model->TakePublishedBuffers();
  EpochTotals totals;
  ByteReader from(checkpoint.totals);
  ForEachField(totals, [&from](auto& field) { field = from.Get<std::decay_t<decltype(field)>>(); });
  return totals;
}

}  // namespace cddp
