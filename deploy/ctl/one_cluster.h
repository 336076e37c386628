// Are the servers that somebody names those of one cluster?

#ifndef DEPLOY_CTL_ONE_CLUSTER_H_
#define DEPLOY_CTL_ONE_CLUSTER_H_

#include <vector>

#include "absl/status/status.h"
#include "deploy/ctl/status_client.h"

namespace cddp::ctl {

// Compares those that answered: each is another shard, of one number of shards and of one run. InvalidArgument naming
// two servers that contradict each other, or one that has lost its state. Servers that are missing are no
// contradiction.
absl::Status CheckOneCluster(const std::vector<ServerStatus>& servers);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_ONE_CLUSTER_H_
