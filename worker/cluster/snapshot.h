// Reads the weights that a server has published.

#ifndef WORKER_CLUSTER_SNAPSHOT_H_
#define WORKER_CLUSTER_SNAPSHOT_H_

#include "absl/status/status.h"
#include "worker/cluster/grpc_cluster_options.h"
#include "worker/cluster/server_connection.h"
#include "worker/exchange/cluster.h"

namespace cddp {

// Passes all buckets of one server to `take`, in order; `held`: the replica's versions of these, in order, or none.
// After a lost connection it continues at the same bucket, as long as buckets arrive within options.server_timeout of
// each other. Errors of Cluster::ReadSnapshot.
// `first_bucket`: earlier buckets are left out; UINT32_MAX: all are, so that the server only learns which worker will
// read.
absl::Status ReadServersSnapshot(const GrpcClusterOptions& options, ServerConnection* server, uint32_t first_bucket,
                                 absl::Span<const uint64_t> held, const Cluster::TakeBucket& take);

}  // namespace cddp

#endif  // WORKER_CLUSTER_SNAPSHOT_H_
