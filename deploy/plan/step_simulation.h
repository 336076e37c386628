// A discrete simulation of synchronous steps: every bucket of every worker is messages over links with a rate, and
// work on processors, from the complete gradient to the last answer applied.
//
// Links are full duplex and serve messages in the order in which they come; the switch between them has no limit. A
// server answers a bucket when all workers have pushed it. Waits, overlap and stragglers of a step follow from that.
// Nothing else is modelled: no lost packets, no failures.

#ifndef DEPLOY_PLAN_STEP_SIMULATION_H_
#define DEPLOY_PLAN_STEP_SIMULATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/plan/cost_constants.h"
#include "deploy/plan/limit.h"
#include "deploy/plan/workload.h"

namespace cddp::plan {

struct ClusterSetting {
  uint32_t workers = 8;
  uint32_t servers = 0;          // on separate hosts; 0: one on each worker's host, at most one per bucket
  double bits_per_second = 1e8;  // of each host's link, each direction
  double latency_ms = 0;         // of the network, one way
  double compute_ms = 500;       // of a forward and backward pass
  uint32_t local_steps = 1;      // passes between two exchanges
  double push_ratio = 0.01;
  double publish_ratio = 0.01;  // 0: all entries that any worker pushed, if each pushes different ones
  ValueEncoding values = kDefaultValueEncoding;
  IndexEncoding indices = IndexEncoding::kGap8;
  uint32_t cores = 8;         // of each host, for everything except the passes
  uint32_t shared_cores = 0;  // cores that do the work of all hosts, as in netlab; 0: each host has its own
  uint32_t tree = 0;          // workers that push through one aggregator; 0: there are no aggregators
};

// Largest number of messages per step that Simulate accepts, to bound its time and memory.
inline constexpr uint64_t kMaxMessages = 6'000'000;

struct StepForecast {
  double step_ms = 0;             // of each pass; local steps share their exchange
  double efficiency = 0;          // compute time over step time
  double sent_bytes = 0;          // by all hosts on their links, per pass
  double cpu_seconds = 0;         // of all hosts, per pass, without the pass itself
  Limit limit = Limit::kCompute;  // the busiest resource besides the passes
  double busy = 0;                // part of the step in which that was busy
  uint32_t servers = 0;
};

// InvalidArgument if a setting makes no sense or is too large to simulate.
absl::StatusOr<StepForecast> Simulate(const ClusterSetting& setting, const std::vector<Bucket>& buckets,
                                      const CostConstants& costs);

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_STEP_SIMULATION_H_
