// Joining: a worker and every server agree on the protocol, the layout and the servers' buckets.

#ifndef WORKER_CLUSTER_JOIN_H_
#define WORKER_CLUSTER_JOIN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cddp/v1/parameter_server.pb.h"
#include "common/layout/parameter_layout.h"
#include "worker/cluster/grpc_cluster_options.h"
#include "worker/cluster/server_connection.h"

namespace cddp {

// The servers' answers to Join.
struct JoinedCluster {
  std::vector<uint64_t> versions;  // by server: the smallest of its buckets' versions
  bool is_sync = true;
  std::string settings;    // see Cluster::server_settings
  std::string run;         // name of the run, the same at all servers
  uint64_t next_step = 0;  // the rank's steps below it have been counted, from an earlier process
  absl::Duration heartbeat_period = absl::Seconds(3);
};

// Joins every server, in shard order, with retries up to options.server_timeout while one is out of reach. Errors:
// Unavailable with the address after that; the server's own error, with its name, if it refuses; InvalidArgument if the
// servers do not match options.addresses, disagree, or have another run than options.run; FailedPrecondition if one of
// them has lost its state. A run without a name gets one (common/agreement/run_identity.h). After an error no server
// waits for this worker.
absl::StatusOr<JoinedCluster> JoinServers(const GrpcClusterOptions& options, const ParameterLayout& layout,
                                          const std::vector<std::unique_ptr<ServerConnection>>& servers);

v1::WorkerId IdOf(const GrpcClusterOptions& options);

}  // namespace cddp

#endif  // WORKER_CLUSTER_JOIN_H_
