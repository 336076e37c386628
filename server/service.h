// The gRPC face of a shard: messages in, messages out. All gRPC types of the server live here and in server.cc.

#ifndef SERVER_SERVICE_H_
#define SERVER_SERVICE_H_

#include <grpcpp/grpcpp.h>
#include <prometheus/counter.h>

#include <array>
#include <functional>
#include <optional>

#include "absl/time/time.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "server/access.h"
#include "server/limits.h"
#include "server/shard.h"
#include "server/task_thread.h"

namespace cddp {

// Callback API: no call holds a thread while it waits, for other workers or for a disk. Thread-safe.
class ParameterService final
    : public v1::ParameterServer::WithRawCallbackMethod_Exchange<v1::ParameterServer::CallbackService> {
 public:
  // All must outlive the service.
  ParameterService(Shard* shard, ServerMetrics* metrics, Access* access, Limits* limits, Refusals* refusals);

  grpc::ServerUnaryReactor* ClaimRank(grpc::CallbackServerContext* context, const v1::ClaimRankRequest* request,
                                      v1::ClaimRankResponse* response) override;
  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context, const v1::JoinRequest* request,
                                 v1::JoinResponse* response) override;
  grpc::ServerUnaryReactor* Leave(grpc::CallbackServerContext* context, const v1::LeaveRequest* request,
                                  v1::LeaveResponse* response) override;
  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context, const v1::HeartbeatRequest* request,
                                      v1::HeartbeatResponse* response) override;
  // ExchangeRequest and ExchangeResponse (common/transport/exchange_wire.h).
  grpc::ServerUnaryReactor* Exchange(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<v1::SnapshotChunk>* Snapshot(grpc::CallbackServerContext* context,
                                                        const v1::SnapshotRequest* request) override;
  grpc::ServerUnaryReactor* Checkpoint(grpc::CallbackServerContext* context, const v1::CheckpointRequest* request,
                                       v1::CheckpointResponse* response) override;
  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context, const v1::StatusRequest* request,
                                   v1::StatusResponse* response) override;

  // Weights to be streamed, bucket by bucket: next(then) calls then(bucket), with none at the end, from any thread. One
  // call at a time.
  struct Weights {
    using Then = std::function<void(absl::StatusOr<std::optional<PublishedWeights>>)>;
    ParameterLayout layout;
    std::function<void(const Then&)> next;
  };

 private:
  // Of a checkpoint, or as they are now.
  absl::StatusOr<Weights> Open(const v1::SnapshotRequest& request);
  std::function<void(const Weights::Then&)> CheckpointReader(uint64_t version);
  // Counts the call. May this caller make it, is it for this server, and may it be made as this worker, and now?
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context, Rpc rpc);
  absl::Status Admit(const grpc::CallbackServerContext& context, Rpc rpc, const v1::WorkerId& worker);
  absl::Status FillClaim(const v1::ClaimRankRequest& request, v1::ClaimRankResponse* response);
  // InvalidArgument if the request does not fit this server.
  absl::StatusOr<ParameterLayout> CheckJoin(const v1::JoinRequest& request) const;
  void FillJoin(const Shard::JoinResult& joined, v1::JoinResponse* response) const;

  Shard& shard_;
  ServerMetrics& metrics_;
  Access& access_;
  Limits& limits_;
  Refusals& refusals_;
  std::array<prometheus::Counter*, kRpcCount> calls_;
  const absl::Time started_;
  TaskThread reads_;  // of checkpoints; last, for its tasks use the above
};

}  // namespace cddp

#endif  // SERVER_SERVICE_H_
