// A cluster over gRPC.

#ifndef WORKER_CLUSTER_GRPC_CLUSTER_H_
#define WORKER_CLUSTER_GRPC_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/layout/parameter_layout.h"
#include "common/layout/shard_map.h"
#include "worker/cluster/exchange_calls.h"
#include "worker/cluster/grpc_cluster_options.h"
#include "worker/cluster/heartbeats.h"
#include "worker/cluster/join.h"
#include "worker/cluster/server_connection.h"
#include "worker/exchange/cluster.h"

namespace cddp {

// Thread-safe.
class GrpcCluster final : public Cluster {
 public:
  // Errors of JoinServers.
  static absl::StatusOr<std::unique_ptr<GrpcCluster>> Join(const GrpcClusterOptions& options,
                                                           const ParameterLayout& layout);
  // Cancels calls under way: their callbacks run before this returns.
  ~GrpcCluster() override = default;

  uint32_t worker_count() const override { return options_.worker_count; }
  const std::string& server_settings() const override { return joined_.settings; }
  // Name of this worker's run.
  const std::string& run() const { return joined_.run; }
  // The rank's steps below it have been counted, from an earlier process.
  uint64_t next_step() const { return joined_.next_step; }
  bool is_sync() const override { return joined_.is_sync; }
  uint64_t version() const override;
  uint32_t server_of(uint32_t bucket) const override { return map_.shard_of(bucket); }
  void Exchange(std::vector<Push> pushes, Answered done) override;
  void CancelExchanges(const absl::Status& why) override { calls_.Cancel(why); }
  absl::Status ReadSnapshot(absl::Span<const uint64_t> held, const TakeBucket& take) override;
  absl::Status TakePart() override;
  // Retries for a while if a server is out of reach, since servers may wait for this before they end themselves.
  void Leave(bool finished) override;
  void NoteProgress(uint64_t step, double loss) override { heartbeats_->NoteProgress(step, loss); }
  uint64_t retries() const override { return calls_.retries(); }

 private:
  GrpcCluster(const GrpcClusterOptions& options, const ParameterLayout& layout, const ShardMap& map);

  const GrpcClusterOptions options_;
  const ParameterLayout layout_;
  const ShardMap map_;
  std::vector<std::unique_ptr<ServerConnection>> servers_;
  JoinedCluster joined_;
  ExchangeCalls calls_;                     // after servers_: calls use them
  std::unique_ptr<Heartbeats> heartbeats_;  // after servers_, too
};

}  // namespace cddp

#endif  // WORKER_CLUSTER_GRPC_CLUSTER_H_
