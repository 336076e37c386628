// The worker's Prometheus metrics, by the names of the dashboards.

#ifndef WORKER_TRAINER_WORKER_METRICS_H_
#define WORKER_TRAINER_WORKER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>

#include "worker/exchange/gradient_exchange.h"

namespace cddp {

// Owns the registry; thread-safe. Every series carries the label rank.
class WorkerMetrics {
 public:
  explicit WorkerMetrics(uint32_t rank);

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

  void NoteSteps(uint64_t steps, uint64_t refused, double loss, double compute_seconds, uint64_t parameters);
  void NoteExchange(const StepTraffic& traffic, uint64_t parameters);
  void NoteRatio(double ratio);
  void NoteLocalSteps(uint32_t steps);
  void NoteRetries(uint64_t total);
  void NoteTest(double loss, double accuracy);
  void NoteCheckpoint(uint64_t step, absl::Duration write, bool written);
  void NoteCheckpointCopy(absl::Duration time);

 private:
  const std::shared_ptr<prometheus::Registry> registry_;
  const std::string rank_;
  prometheus::Counter& Counter(const std::string& name, const std::string& help);
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help);

  prometheus::Counter& steps_;
  prometheus::Counter& refused_steps_;
  prometheus::Counter& pushed_bytes_;
  prometheus::Counter& pulled_bytes_;
  prometheus::Counter& dense_bytes_;
  prometheus::Counter& retries_;
  prometheus::Counter& compute_seconds_;
  prometheus::Counter& compress_seconds_;
  prometheus::Counter& exchange_seconds_;
  prometheus::Counter& checkpoints_;
  prometheus::Counter& failed_checkpoints_;
  prometheus::Counter& checkpoint_write_seconds_;
  prometheus::Counter& checkpoint_copy_seconds_;
  prometheus::Counter& missed_steps_;
  prometheus::Gauge& checkpoint_step_;
  prometheus::Gauge& train_loss_;
  prometheus::Gauge& test_loss_;
  prometheus::Gauge& test_accuracy_;
  prometheus::Gauge& residual_norm_;
  prometheus::Gauge& selected_ratio_;
  prometheus::Gauge& chosen_ratio_;
  prometheus::Gauge& local_steps_;
  prometheus::Gauge& started_;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_WORKER_METRICS_H_
