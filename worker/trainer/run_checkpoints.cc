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

// With overlap, in front of the optimizer's state: the difference whose exchange has not begun, if any, with the
// model's own buffers behind it.
absl::Status PutHeldBack(const RunParts& parts, std::string* state) {
  ByteWriter to(state);
  to.Put<uint8_t>(parts.holds_back ? 1 : 0);
  if (!parts.holds_back) return absl::OkStatus();
  absl::StatusOr<std::vector<float>> difference = OnHost(parts.model->device(), parts.optimizer->difference());
  if (!difference.ok()) return difference.status();
  const absl::StatusOr<std::vector<float>> buffers = OnHost(parts.model->device(), parts.model->buffers());
  if (!buffers.ok()) return buffers.status();
  const size_t parameters = parts.model->weights().size() - buffers->size();
  std::copy(buffers->begin(), buffers->end(), difference->begin() + static_cast<int64_t>(parameters));
  to.PutFloats(*difference);
  return absl::OkStatus();
}

// Removes it from the front of `state`. The model's own buffers pass through its weights, which are set later.
absl::Status TakeHeldBack(const RunParts& parts, absl::string_view* state, bool* holds_back) {
  ByteReader from(*state);
  *holds_back = from.Get<uint8_t>() != 0;
  std::vector<float> difference(*holds_back ? parts.optimizer->difference().size() : 0);
  if (*holds_back) from.GetFloats(absl::MakeSpan(difference));
  if (!from.ok()) return absl::InvalidArgumentError("the checkpoint holds back steps of another model");
  *state = from.left();
  if (!*holds_back) return absl::OkStatus();
  absl::Status status = CopyFromHost(parts.model->device(), difference, parts.optimizer->difference());
  const absl::Span<float> weights = parts.model->weights();
  if (status.ok()) {
    status = CopyFromHost(parts.model->device(), absl::MakeConstSpan(difference).first(weights.size()), weights);
  }
  if (status.ok()) parts.model->TakePublishedBuffers();
  return status;
}

}  // namespace

RunCheckpoints::RunCheckpoints(const RunSettings& settings, uint64_t fingerprint, WorkerMetrics* metrics)
    : files_(settings.options.checkpoint_dir, settings.options.cluster.rank),
      flags_(DescribeForCheckpoint(settings)),
      fingerprint_(fingerprint),
      every_(settings.options.checkpoint_every),
      metrics_(*metrics),
      writer_(files_, [this, metrics](const CheckpointWriter::Written& written) {
        metrics->NoteCheckpoint(written.step, written.time, written.status.ok());
        if (written.status.ok()) {
          sent_->NoteDurable(written.step);
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

void RunCheckpoints::Begin(const std::string& run, const std::string& arithmetic, std::shared_ptr<SentLog> sent) {
  run_ = run;
  arithmetic_ = arithmetic;
  sent_ = std::move(sent);
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
  if (parts.optimizer != nullptr) {
    weights = OnHost(parts.model->device(), parts.optimizer->replica());
    optimizer = parts.optimizer->SaveState();
  }
  std::string held_back;
  absl::Status status = parts.overlaps ? PutHeldBack(parts, &held_back) : absl::OkStatus();
  status.Update(weights.status());
  status.Update(optimizer.status());
  if (!status.ok()) {
    spdlog::error("event=checkpoint_failed step={} reason=\"{}\"", parts.exchange->step(),
                  std::string(status.message()));
    return false;
  }
  WorkerCheckpoint checkpoint = {fingerprint_,
                                 run_,
                                 arithmetic_,
                                 flags_,
                                 parts.exchange->State(),
                                 *std::move(weights),
                                 parts.model->State(),
                                 held_back + *optimizer,
                                 ""};
  sent_->BeginFile(checkpoint.exchange.step);
  ByteWriter to(&checkpoint.totals);
  ForEachField(totals, [&to](auto field) { to.Put(field); });
  metrics_.NoteCheckpointCopy(MonotonicNow() - begin);
  writer_.Write(std::move(checkpoint));
  return true;
}

absl::StatusOr<RestoredRun> Restore(const WorkerCheckpoint& checkpoint, const RunParts& parts) {
  const absl::Span<float> weights = parts.model->weights();
  const size_t elements = parts.optimizer != nullptr ? parts.optimizer->replica().size() : weights.size();
  if (checkpoint.weights.size() != elements) {
    return absl::InvalidArgumentError("the checkpoint's weights are of another model");
  }
  RestoredRun run;
  absl::string_view optimizer = checkpoint.optimizer;
  absl::Status status = parts.exchange->SetState(checkpoint.exchange);
  if (status.ok()) status = parts.model->SetState(checkpoint.model);
  if (status.ok() && parts.overlaps) status = TakeHeldBack(parts, &optimizer, &run.holds_back);
  if (status.ok() && parts.optimizer != nullptr) {
    status = parts.optimizer->SetReplica(checkpoint.weights);
    if (status.ok()) status = parts.optimizer->SetState(optimizer);
  }
  if (status.ok()) {
    status = parts.optimizer != nullptr ? parts.optimizer->TakePublished(weights)
                                        : CopyFromHost(parts.model->device(), checkpoint.weights, weights);
  }
  if (!status.ok()) return status;
  if (!run.holds_back) parts.model->TakePublishedBuffers();
  ByteReader from(checkpoint.totals);
  ForEachField(run.totals, [&from](auto& field) { field = from.Get<std::decay_t<decltype(field)>>(); });
  return run;
}

}  // namespace cddp
