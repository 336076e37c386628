// How a worker reaches a cluster, and its identity there.

#ifndef WORKER_CLUSTER_GRPC_CLUSTER_OPTIONS_H_
#define WORKER_CLUSTER_GRPC_CLUSTER_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/agreement/run_identity.h"

namespace cddp {

class ClientSecurity;

struct GrpcClusterOptions {
  std::shared_ptr<const ClientSecurity> security;  // null: plaintext, no token
  std::vector<std::string> addresses;              // of the servers, in shard order
  uint32_t rank = 0;
  uint32_t worker_count = 1;
  uint64_t incarnation = 0;  // 0: the present time
  std::string agreement;  // the settings that all workers must have alike (common/agreement); a server refuses others
  RunIdentity run;        // what is known of this worker's run
  // How long a server may be out of reach, at the start or later, before the worker gives up.
  absl::Duration server_timeout = absl::Seconds(60);
  // Whether rounds may continue without this worker while it reads the weights of a running training. They must not if
  // its process may restore an earlier state after that: then it must repeat its steps since that state, in their
  // rounds.
  bool catches_up = true;
};

// For GrpcClusterOptions::incarnation of a process that starts now.
uint64_t PresentIncarnation();

}  // namespace cddp

#endif  // WORKER_CLUSTER_GRPC_CLUSTER_OPTIONS_H_
