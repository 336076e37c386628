#include "server/server_metrics.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace cddp {
namespace {

// The number of ranks with their own series; later ranks are in the log and in `cddp status`.
constexpr uint32_t kMostRanks = 64;
constexpr absl::Duration kHalfMinute = absl::Seconds(30);

}  // namespace

ServerMetrics::ServerMetrics(uint32_t shard, uint32_t worker_count)
    : registry_(std::make_shared<prometheus::Registry>()),
      shard_(std::to_string(shard)),
      staleness_(
          prometheus::BuildHistogram()
              .Name("cddp_server_staleness_versions")
              .Help("Versions that the oldest base version counted in a round lay behind; in stale and "
                    "asynchronous training every contribution is a round")
              .Register(*registry_)
              .Add({{"shard", shard_}}, prometheus::Histogram::BucketBoundaries{0, 1, 2, 4, 8, 16, 32, 64, 128, 256})),
      max_staleness_(Gauge("cddp_server_staleness_max_versions", "Largest staleness of the last minute, in versions")),
      exchanges(Counter("cddp_server_exchanges_total", "Pushes of buckets answered with a version")),
      exchange_errors(Counter("cddp_server_exchange_errors_total", "Pushes of buckets answered with an error")),
      received_bytes(Counter("cddp_server_received_bytes_total", "Encoded updates received from workers, in bytes")),
      sent_bytes(Counter("cddp_server_sent_bytes_total", "Encoded updates sent to workers, in bytes")),
      catch_up_bytes(Counter("cddp_server_catch_up_bytes_total",
                             "Weights sent to workers that join a running training, in bytes")),
      rounds(Counter("cddp_server_rounds_total", "Bucket rounds completed: one version of one bucket each")),
      refused_rounds(
          Counter("cddp_server_refused_rounds_total", "Bucket rounds refused because a gradient was not finite")),
      repeated_exchanges(Counter("cddp_server_repeated_exchanges_total",
                                 "Exchanges answered again, whose contribution had been counted before: retries")),
      replica_mismatches(Counter("cddp_server_replica_mismatches_total",
                                 "Exchanges whose worker held other weights than the published ones")),
      round_open(Seconds("cddp_server_round_open_seconds",
                         "From the first to the last contribution of a round: how long workers wait for the slowest")),
      aggregate(Seconds("cddp_server_aggregate_seconds", "Sum, optimizer and publishing of one round")),
      journal_write(Seconds("cddp_server_journal_write_seconds",
                            "Write and sync of one frame of the journal, for which answers wait")),
      snapshot(Seconds("cddp_server_snapshot_seconds", "Making of one snapshot, while training goes on")),
      snapshot_failures(Counter("cddp_server_snapshot_failures_total", "Snapshots that could not be made")),
      journal_bytes(Gauge("cddp_server_journal_bytes", "Journal since the last snapshot, in bytes")),
      snapshot_bytes(Gauge("cddp_server_snapshot_bytes", "The newest snapshot made by this process, in bytes")),
      disk_free(Gauge("cddp_server_state_disk_free_bytes", "Free space of the disk that holds --state_dir")),
      min_version(Gauge("cddp_server_min_version", "Smallest version of the shard's buckets")),
      max_version(Gauge("cddp_server_max_version", "Largest version of the shard's buckets")),
      log_bytes(Gauge("cddp_server_update_log_bytes", "Published updates kept for workers that are behind, in bytes")),
      view(Gauge("cddp_server_view",
                 "Number of the shard's view, the list of workers that take part: grows with every change of it")),
      workers_joined(Gauge("cddp_server_workers_joined", "Workers that take part and were heard within the lease")),
      workers_lost(Gauge("cddp_server_workers_lost", "Workers that joined and are silent for longer than the lease")),
      workers_catching_up(
          Gauge("cddp_server_workers_catching_up",
                "Workers that have joined and still read the weights: rounds do not wait for them yet")),
      waiting_for(Gauge("cddp_server_waiting_for_workers", "Workers whose contribution the oldest open round lacks")),
      waiting_since(Gauge("cddp_server_waiting_since_timestamp_seconds",
                          "When the oldest open round got its first contribution; 0 if none is open")),
      staleness_bound(Gauge("cddp_server_staleness_bound_versions",
                            "Largest staleness that --max_staleness allows while no worker is lost; 0: no bound")),
      started(Gauge("cddp_server_start_timestamp_seconds", "When this process began")),
      draining(Gauge("cddp_server_draining", "1 from SIGTERM on, while rounds under way are completed")) {
  auto& family = prometheus::BuildGauge()
                     .Name("cddp_server_waiting_for_rank")
                     .Help("1 if the oldest open round lacks this worker's contribution (the first 64 ranks)")
                     .Register(*registry_);
  for (uint32_t rank = 0; rank < std::min(worker_count, kMostRanks); ++rank) {
    waiting_for_rank_.push_back(&family.Add({{"shard", shard_}, {"rank", std::to_string(rank)}}));
  }
  started.Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
}

void ServerMetrics::NoteWaitingFor(const std::vector<uint32_t>& ranks) {
  waiting_for.Set(static_cast<double>(ranks.size()));
  for (uint32_t rank = 0; rank < waiting_for_rank_.size(); ++rank) {
    waiting_for_rank_[rank]->Set(std::binary_search(ranks.begin(), ranks.end(), rank));
  }
}

void ServerMetrics::ShowStaleness(absl::Time now) {
  const uint64_t largest = largest_.load(std::memory_order_relaxed);
  max_staleness_.Set(static_cast<double>(std::max(largest, largest_before_)));
  if (now - half_minute_began_ < kHalfMinute) return;
  half_minute_began_ = now;
  largest_before_ = largest_.exchange(0, std::memory_order_relaxed);
}

prometheus::Counter& ServerMetrics::Counter(const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add({{"shard", shard_}});
}

prometheus::Gauge& ServerMetrics::Gauge(const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add({{"shard", shard_}});
}

prometheus::Histogram& ServerMetrics::Seconds(const std::string& name, const std::string& help) {
  return prometheus::BuildHistogram()
      .Name(name)
      .Help(help)
      .Register(*registry_)
      .Add({{"shard", shard_}}, prometheus::Histogram::BucketBoundaries{1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03,
                                                                        0.1, 0.3, 1, 3, 10, 30, 100});
}

void ServerMetrics::NoteExchanges(uint64_t pushes, uint64_t received, uint64_t sent) {
  exchanges.Increment(static_cast<double>(pushes));
  received_bytes.Increment(static_cast<double>(received));
  sent_bytes.Increment(static_cast<double>(sent));
}

void ServerMetrics::NoteRound(const RoundTiming& timing) {
  rounds.Increment();
  if (timing.refused) refused_rounds.Increment();
  round_open.Observe(absl::ToDoubleSeconds(timing.open));
  aggregate.Observe(absl::ToDoubleSeconds(timing.aggregate));
  staleness_.Observe(static_cast<double>(timing.staleness));
  uint64_t largest = largest_.load(std::memory_order_relaxed);
  while (timing.staleness > largest && !largest_.compare_exchange_weak(largest, timing.staleness)) {
  }
}

void ServerMetrics::NoteJournalWrite(absl::Duration took) { journal_write.Observe(absl::ToDoubleSeconds(took)); }

void ServerMetrics::NoteSnapshot(absl::Duration took, bool ok) {
  snapshot.Observe(absl::ToDoubleSeconds(took));
  if (!ok) snapshot_failures.Increment();
}

}  // namespace cddp
