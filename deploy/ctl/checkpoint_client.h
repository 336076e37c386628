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
};

// Keeps a channel to each server. Its first look finds out which run they hold and which shard each is; every later
// call says so, and another server that has a name's address meanwhile refuses it. Not thread-safe.
class CheckpointClient {
 public:
  // `security` null: plaintext, no token; it must outlive the client. `timeout`: how long the cluster may take to come
  // to a version.
  CheckpointClient(const std::vector<std::string>& addresses, const ClientSecurity* security, absl::Duration timeout);

  // Has all servers keep the state at one version, as soon as they are there; returns the version. Unavailable if a
  // server does not answer, FailedPrecondition if it keeps no state, DeadlineExceeded if the training does not go on,
  // Aborted if all workers are gone in mid step: then there is no such version, and Read(0) gives the model as it is;
  // InvalidArgument if the addresses are not all servers of one cluster.
  absl::StatusOr<uint64_t> Make();

  // The weights of a checkpoint, or as they are (version 0), from all servers. NotFound, naming a server, if it does
  // not have that version; InvalidArgument as Make.
  absl::StatusOr<ClusterWeights> Read(uint64_t version);

 private:
  // The weights that have arrived so far.
  struct Reading {
    std::optional<ClusterWeights> weights;
    std::vector<bool> taken;  // [bucket]
  };
  static absl::Status Take(const v1::SnapshotChunk& chunk, Reading* reading);

  // Makes a call to one server, again while it is out of reach or busy; errors name the server.
  using ServerCall = std::function<absl::Status(v1::ParameterServer::Stub&, Retry&, absl::Duration timeout)>;
  absl::Status Call(size_t server, absl::Duration try_timeout, const ServerCall& call);
  // Of all buckets.
  struct Versions {
    uint64_t least = 0;
    uint64_t newest = 0;
    bool has_workers = false;  // do any take part?
  };
  absl::StatusOr<Versions> Look();
  // What the servers say of themselves: all of one cluster, each once.
  absl::Status CheckServers(const std::vector<ServerStatus>& servers);
  void NameIn(size_t server, grpc::ClientContext* context) const;
  // Two looks. Where nothing moves although buckets are apart, workers may be about to go on, or gone: waits to see
  // which. Aborted if they are gone.
  absl::Status LookTwice(Versions* before, Versions* now);
  absl::Status MakeAt(uint64_t version);

  const std::vector<std::string> addresses_;
  const ClientSecurity* const security_;
  const absl::Duration timeout_;
  std::vector<std::unique_ptr<v1::ParameterServer::Stub>> stubs_;
  std::string run_;               // that the servers hold
  std::vector<uint32_t> shards_;  // [server]; empty before the first look
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_CHECKPOINT_CLIENT_H_
