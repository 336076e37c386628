#include "worker/trainer/worker_metrics.h"

#include "absl/time/clock.h"

namespace cddp {

WorkerMetrics::WorkerMetrics(uint32_t rank)
    : registry_(std::make_shared<prometheus::Registry>()),
      rank_(std::to_string(rank)),
      steps_(Counter("cddp_worker_steps_total", "Training steps done")),
      refused_steps_(Counter("cddp_worker_refused_steps_total",
                             "Training steps refused because a gradient at some worker was not finite")),
      pushed_bytes_(Counter("cddp_worker_pushed_bytes_total", "Encoded gradients pushed, in bytes")),
      pulled_bytes_(Counter("cddp_worker_pulled_bytes_total", "Encoded weight changes received, in bytes")),
      dense_bytes_(Counter("cddp_worker_dense_bytes_total", "Bytes that dense float32 gradients would have pushed")),
      retries_(Counter("cddp_worker_retries_total", "Exchange calls sent again: a server was out of reach or busy")),
      compute_seconds_(Counter("cddp_worker_compute_seconds_total", "Time in forward and backward passes")),
      compress_seconds_(Counter("cddp_worker_compress_seconds_total", "Time in compression")),
      exchange_seconds_(Counter("cddp_worker_exchange_seconds_total", "Time waiting for servers and applying answers")),
      checkpoints_(Counter("cddp_worker_checkpoints_total", "Checkpoints begun, in all")),
      failed_checkpoints_(Counter("cddp_worker_checkpoint_failures_total", "Checkpoints that could not be written")),
      checkpoint_write_seconds_(Counter("cddp_worker_checkpoint_write_seconds_total",
                                        "Time in writing checkpoints, in parallel with the training")),
      checkpoint_copy_seconds_(Counter("cddp_worker_checkpoint_copy_seconds_total",
                                       "Time that training stood still for a copy of its state")),
      missed_steps_(Counter("cddp_worker_missed_steps_total", "Steps that the others made without this worker")),
      checkpoint_step_(Gauge("cddp_worker_checkpoint_step", "Coming step of the latest durable checkpoint")),
      train_loss_(Gauge("cddp_worker_train_loss", "Mean loss of the last batch")),
      test_loss_(Gauge("cddp_worker_test_loss", "Mean loss on the test set after the last epoch (rank 0)")),
      test_accuracy_(
          Gauge("cddp_worker_test_accuracy_ratio", "Accuracy on the test set after the last epoch (rank 0)")),
      residual_norm_(Gauge("cddp_worker_residual_norm", "Euclidean norm of the residual, which has not been sent yet")),
      selected_ratio_(Gauge("cddp_worker_selected_ratio", "Part of the gradient's elements sent in the last step")),
      chosen_ratio_(Gauge("cddp_worker_chosen_ratio",
                          "With --ratio=auto, the part of the elements that it has chosen to send; 0 without")),
      local_steps_(
          Gauge("cddp_worker_local_steps",
                "With --local_steps=auto, the steps between two exchanges that workers have decided; 0 without")),
      started_(Gauge("cddp_worker_start_timestamp_seconds", "When this process began")) {
  started_.Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
}

prometheus::Counter& WorkerMetrics::Counter(const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add({{"rank", rank_}});
}

prometheus::Gauge& WorkerMetrics::Gauge(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add({{"rank", rank_}});
}

void WorkerMetrics::NoteSteps(uint64_t steps, uint64_t refused, double loss, double compute_seconds,
                              uint64_t parameters) {
  steps_.Increment(static_cast<double>(steps));
  refused_steps_.Increment(static_cast<double>(refused));
  dense_bytes_.Increment(static_cast<double>(steps * parameters * sizeof(float)));
  compute_seconds_.Increment(compute_seconds);
  train_loss_.Set(loss);
}

void WorkerMetrics::NoteExchange(const StepTraffic& traffic, uint64_t parameters) {
  pushed_bytes_.Increment(static_cast<double>(traffic.pushed_bytes));
  pulled_bytes_.Increment(static_cast<double>(traffic.pulled_bytes));
  compress_seconds_.Increment(traffic.compress_seconds);
  exchange_seconds_.Increment(traffic.exchange_seconds);
  missed_steps_.Increment(static_cast<double>(traffic.missed));
  residual_norm_.Set(traffic.residual_norm);
  selected_ratio_.Set(static_cast<double>(traffic.selected) / static_cast<double>(parameters));
}

void WorkerMetrics::NoteRatio(double ratio) { chosen_ratio_.Set(ratio); }

void WorkerMetrics::NoteLocalSteps(uint32_t steps) { local_steps_.Set(steps); }

void WorkerMetrics::NoteRetries(uint64_t total) { retries_.Increment(static_cast<double>(total) - retries_.Value()); }
void WorkerMetrics::NoteCheckpoint(uint64_t step, absl::Duration write, bool written) {
  checkpoints_.Increment();
  checkpoint_write_seconds_.Increment(absl::ToDoubleSeconds(write));
  if (written) {
    checkpoint_step_.Set(static_cast<double>(step));
  } else {
    failed_checkpoints_.Increment();
  }
}

void WorkerMetrics::NoteCheckpointCopy(absl::Duration time) {
  checkpoint_copy_seconds_.Increment(absl::ToDoubleSeconds(time));
}

void WorkerMetrics::NoteTest(double loss, double accuracy) {
  test_loss_.Set(loss);
  test_accuracy_.Set(accuracy);
}

}  // namespace cddp
