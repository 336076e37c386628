// The server's Prometheus metrics, by the names of the dashboards.

#ifndef SERVER_SERVER_METRICS_H_
#define SERVER_SERVER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/bucket_state.h"

namespace cddp {

// Owns the registry; all members are thread-safe. Every series carries the label shard.
class ServerMetrics {
 public:
  ServerMetrics(uint32_t shard, uint32_t worker_count);

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

  void NoteExchanges(uint64_t pushes, uint64_t received_bytes, uint64_t sent_bytes);
  void NoteRound(const RoundTiming& timing);
  void NoteJournalWrite(absl::Duration took);
  void NoteSnapshot(absl::Duration took, bool ok);

  // These are the ranks, ascending, that the oldest open round waits for.
  void NoteWaitingFor(const std::vector<uint32_t>& ranks);

  // Shows the largest staleness of the last minute. Call it every few seconds at least, from one thread.
  void ShowStaleness(absl::Time now);

 private:
  // Declared first: the references below are made from it.
  const std::shared_ptr<prometheus::Registry> registry_;
  const std::string shard_;
  prometheus::Counter& Counter(const std::string& name, const std::string& help);
  prometheus::Gauge& Gauge(const std::string& name, const std::string& help);
  prometheus::Histogram& Seconds(const std::string& name, const std::string& help);
  prometheus::Histogram& staleness_;
  prometheus::Gauge& max_staleness_;
  std::vector<prometheus::Gauge*> waiting_for_rank_;  // of the first ranks; see .cc
  // The largest of the half minute under way, and of the one before.
  std::atomic<uint64_t> largest_{0};
  uint64_t largest_before_ = 0;
  absl::Time half_minute_began_ = absl::InfinitePast();

 public:
  prometheus::Counter& exchanges;
  prometheus::Counter& exchange_errors;
  prometheus::Counter& received_bytes;
  prometheus::Counter& sent_bytes;
  prometheus::Counter& catch_up_bytes;
  prometheus::Counter& rounds;
  prometheus::Counter& refused_rounds;
  prometheus::Counter& repeated_exchanges;
  prometheus::Counter& replica_mismatches;
  prometheus::Histogram& round_open;
  prometheus::Histogram& aggregate;
  prometheus::Histogram& journal_write;
  prometheus::Histogram& snapshot;
  prometheus::Counter& snapshot_failures;
  prometheus::Gauge& journal_bytes;
  prometheus::Gauge& snapshot_bytes;
  prometheus::Gauge& disk_free;
  prometheus::Gauge& min_version;
  prometheus::Gauge& max_version;
  prometheus::Gauge& log_bytes;
  prometheus::Gauge& view;
  prometheus::Gauge& workers_joined;
  prometheus::Gauge& workers_lost;
  prometheus::Gauge& workers_catching_up;
  prometheus::Gauge& waiting_for;
  prometheus::Gauge& waiting_since;
  prometheus::Gauge& staleness_bound;
  prometheus::Gauge& started;
  prometheus::Gauge& draining;
};

}  // namespace cddp

#endif  // SERVER_SERVER_METRICS_H_
