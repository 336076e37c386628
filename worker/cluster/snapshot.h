// Reading the weights that a server has published.

#ifndef WORKER_CLUSTER_SNAPSHOT_H_
#define WORKER_CLUSTER_SNAPSHOT_H_

#include "absl/status/status.h"
#include "worker/cluster/grpc_cluster_options.h"
#include "worker/cluster/server_connection.h"
#include "worker/exchange/cluster.h"

namespace cddp {

// Gives all buckets of one server to `take`, in order; `held`: versions of the replica of these, in order, or none.
// After a lost connection it goes on at the bucket where it was, for as long as buckets keep coming within
// options.server_timeout. Errors of Cluster::ReadSnapshot.
// `first_bucket`: those before it are left out; UINT32_MAX: all are, so that the server only learns who is going to
// read.
absl::Status ReadServersSnapshot(const GrpcClusterOptions& options, ServerConnection* server, uint32_t first_bucket,
                                 absl::Span<const uint64_t> held, const Cluster::TakeBucket& take);

}  // namespace cddp

#endif  // WORKER_CLUSTER_SNAPSHOT_H_
