// Asks all servers of a cluster for a checkpoint, and reads one.

#ifndef DEPLOY_CTL_CHECKPOINT_CLIENT_H_
#define DEPLOY_CTL_CHECKPOINT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/layout/parameter_layout.h"
#include "common/retry/retry.h"
#include "common/transport/credentials.h"
#include "deploy/ctl/status_client.h"

namespace cddp::ctl {

struct ClusterWeights {
  ParameterLayout layout;
  std::vector<float> weights;  // [layout.total_elements()]
  uint64_t steps = 0;          // of a worker, that they come from
};

// Keeps a channel to each server. Its first query finds out the servers' run and each one's shard. Every later call
// names them, so that another server that has got an address meanwhile refuses it. Not thread-safe.
class CheckpointClient {
 public:
  // `security` null: plaintext, no token; it must outlive the client. `timeout`: how long the cluster may take to reach
  // a version.
  CheckpointClient(const std::vector<std::string>& addresses, const ClientSecurity* security, absl::Duration timeout);

  // Makes all servers save the state at one version, once they have reached it; returns the version. Unavailable if a
  // server does not answer, FailedPrecondition if it keeps no state, DeadlineExceeded if the training does not
  // continue, Aborted if all workers are gone in mid step: then there is no such version, and Read(0) gives the present
  // model; InvalidArgument if the addresses are not all servers of one cluster.
  absl::StatusOr<uint64_t> Make();

  // The weights of a checkpoint, or the present ones (version 0), from all servers. NotFound names a server that does
  // not have that version; InvalidArgument as Make.
  absl::StatusOr<ClusterWeights> Read(uint64_t version);

 private:
  // The weights that have arrived so far.
  struct Reading {
    std::optional<ClusterWeights> weights;
    std::vector<bool> taken;        // [bucket]
    uint64_t version = UINT64_MAX;  // the least of the buckets
  };
  static absl::Status Take(const v1::SnapshotChunk& chunk, Reading* reading);

  // Calls one server, with retries while it is out of reach or busy; errors name the server.
  using ServerCall = std::function<absl::Status(v1::ParameterServer::Stub&, Retry&, absl::Duration timeout)>;
  absl::Status Call(size_t server, absl::Duration try_timeout, const ServerCall& call);
  // The versions of all buckets.
  struct Versions {
    uint64_t least = 0;
    uint64_t newest = 0;
    bool has_workers = false;  // whether any take part
  };
  absl::StatusOr<Versions> Look();
  // Checks by the servers' answers that they are all servers of one cluster, each once.
  absl::Status CheckServers(const std::vector<ServerStatus>& servers);
  void NameIn(size_t server, grpc::ClientContext* context) const;
  // Asks twice. If no version moves although buckets differ, workers may be about to continue, or be gone: waits to
  // find out. Aborted if they are gone.
  absl::Status LookTwice(Versions* before, Versions* now);
  absl::Status MakeAt(uint64_t version);

  const std::vector<std::string> addresses_;
  const ClientSecurity* const security_;
  const absl::Duration timeout_;
  std::vector<std::unique_ptr<v1::ParameterServer::Stub>> stubs_;
  std::string run_;               // that the servers hold
  std::string agreement_;         // of its workers
  std::vector<uint32_t> shards_;  // [server]; empty before the first look
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_CHECKPOINT_CLIENT_H_
