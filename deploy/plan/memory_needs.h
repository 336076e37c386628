// Memory of the processes of a cluster.

#ifndef DEPLOY_PLAN_MEMORY_NEEDS_H_
#define DEPLOY_PLAN_MEMORY_NEEDS_H_

#include <vector>

#include "deploy/plan/step_simulation.h"

namespace cddp::plan {

struct MemoryNeeds {
  double server_bytes = 0;  // of the server with most buckets
  double worker_bytes = 0;  // without the passes' own memory: activations, batches
};

// `state_floats`: floats per element in the servers' optimizer: 1 for momentum, 2 for Adam.
MemoryNeeds NeedsOf(const ClusterSetting& setting, const std::vector<Bucket>& buckets, uint32_t servers,
                    uint32_t state_floats);

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_MEMORY_NEEDS_H_
