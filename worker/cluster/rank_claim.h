// Gets a rank from the cluster, for workers that are all started with one command line (replicas of a container).

#ifndef WORKER_CLUSTER_RANK_CLAIM_H_
#define WORKER_CLUSTER_RANK_CLAIM_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "worker/cluster/grpc_cluster_options.h"

namespace cddp {

// Asks shard 0 for a free rank, for the process of `options.incarnation` (which must be set, and with which it then
// joins); options.rank is not read. Waits with backoff, up to options.server_timeout, while the server is
// out of reach or all ranks are held: then Unavailable with the reason. Otherwise the server's own error, with its
// name.
absl::StatusOr<uint32_t> ClaimRank(const GrpcClusterOptions& options);

}  // namespace cddp

#endif  // WORKER_CLUSTER_RANK_CLAIM_H_
