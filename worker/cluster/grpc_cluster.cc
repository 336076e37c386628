#include "worker/cluster/grpc_cluster.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/retry/retry_call.h"
#include "common/transport/deadline.h"
#include "common/transport/status.h"
#include "worker/cluster/snapshot.h"

namespace cddp {
namespace {

constexpr absl::Duration kLeavePatience = absl::Seconds(30);

void LeaveServer(ServerConnection& server, const v1::LeaveRequest& request, const GrpcClusterOptions& options) {
  RetryOptions retry_options;
  retry_options.patience = std::min(options.server_timeout, kLeavePatience);
  retry_options.busy_patience = retry_options.patience;
  Retry retry(retry_options, options.rank);
  SystemClock clock;
  const auto attempt = [&](absl::Duration timeout) {
    grpc::ClientContext context;
    server.NameIn(&context);
    context.set_deadline(DeadlineIn(timeout));
    v1::LeaveResponse response;
    return FromGrpc(server.stubs.get()->typed->Leave(&context, request, &response));
  };
  const auto renew = [&](const absl::Status& failed, absl::Duration) { server.stubs.NoteFailure(failed); };
  if (const absl::Status status = RetryCall(clock, retry, attempt, renew); !status.ok()) {
    LogWarning(absl::StrCat("event=leave_failed server=", server.address(), " reason=\"", status.message(), "\""));
  }
}

}  // namespace

uint64_t PresentIncarnation() { return static_cast<uint64_t>(absl::ToUnixMicros(absl::Now())); }

GrpcCluster::GrpcCluster(const GrpcClusterOptions& options, const ParameterLayout& layout, const ShardMap& map)
    : options_(options), layout_(layout), map_(map), calls_(options.server_timeout, options.rank) {
  for (uint32_t shard = 0; shard < options_.addresses.size(); ++shard) {
    servers_.push_back(std::make_unique<ServerConnection>(options_, shard));
  }
}

absl::StatusOr<std::unique_ptr<GrpcCluster>> GrpcCluster::Join(const GrpcClusterOptions& options,
                                                               const ParameterLayout& layout) {
  absl::StatusOr<ShardMap> map =
      ShardMap::Create(layout.bucket_count(), static_cast<uint32_t>(options.addresses.size()));
  if (!map.ok()) return map.status();
  GrpcClusterOptions complete = options;
  if (complete.incarnation == 0) complete.incarnation = PresentIncarnation();
  std::unique_ptr<GrpcCluster> cluster(new GrpcCluster(complete, layout, *map));
  absl::StatusOr<JoinedCluster> joined = JoinServers(complete, layout, cluster->servers_);
  if (!joined.ok()) return joined.status();
  cluster->joined_ = *std::move(joined);
  cluster->heartbeats_ =
      std::make_unique<Heartbeats>(IdOf(complete), cluster->joined_.heartbeat_period, cluster->servers_,
                                   [calls = &cluster->calls_](const absl::Status& why) { calls->Cancel(why); });
  return cluster;
}

uint64_t GrpcCluster::version() const { return *std::min_element(joined_.versions.begin(), joined_.versions.end()); }

void GrpcCluster::Exchange(std::vector<Push> pushes, Answered done) {
  ServerConnection& server = *servers_[server_of(pushes.front().bucket)];
  calls_.Start(&server, {options_.rank, options_.incarnation, server.view(), std::move(pushes)}, std::move(done));
}

absl::Status GrpcCluster::ReadSnapshot(absl::Span<const uint64_t> held, const TakeBucket& take) {
  // Before the first server is read: otherwise the last one would wait for this worker until it is read.
  for (uint32_t shard = 0; options_.catches_up && shard < servers_.size(); ++shard) {
    absl::Status status = ReadServersSnapshot(options_, servers_[shard].get(), UINT32_MAX, {}, take);
    if (!status.ok()) return status;
  }
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    const BucketRun run = map_.run(shard);
    const auto held_there = held.empty() ? held : held.subspan(run.begin, run.end - run.begin);
    absl::Status status = ReadServersSnapshot(options_, servers_[shard].get(), run.begin, held_there, take);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status GrpcCluster::TakePart() {
  if (!options_.catches_up) return absl::OkStatus();  // rounds have waited for this worker since Join
  GrpcClusterOptions options = options_;
  options.run = {joined_.run, RunClaim::kBegun};
  return JoinServers(options, layout_, servers_).status();
}

void GrpcCluster::Leave(bool finished) {
  v1::LeaveRequest request;
  *request.mutable_worker() = IdOf(options_);
  request.set_finished(finished);
  for (const auto& server : servers_) LeaveServer(*server, request, options_);
}

}  // namespace cddp
