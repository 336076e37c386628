#include "worker/cluster/join.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/agreement/agreement.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/retry/retry_call.h"
#include "common/transport/call_identity.h"
#include "common/transport/deadline.h"
#include "common/transport/layout_message.h"
#include "common/transport/protocol.h"
#include "common/transport/reach.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

// For telling a server that this worker does not take part after all.
constexpr absl::Duration kLeaveTimeout = absl::Seconds(1);

// Joins the servers of one cluster, and keeps their answers.
class Joining {
 public:
  Joining(const GrpcClusterOptions& options, const ParameterLayout& layout,
          const std::vector<std::unique_ptr<ServerConnection>>& servers)
      : options_(options), servers_(servers) {
    request_.set_protocol_version(kProtocolVersion);
    *request_.mutable_worker() = IdOf(options);
    request_.set_worker_count(options.worker_count);
    *request_.mutable_layout() = ToMessage(layout);
    request_.set_agreement(options.agreement);
    joined_.versions.resize(servers.size());
    runs_.resize(servers.size());
  }

  absl::StatusOr<JoinedCluster> JoinAll() {
    absl::Status status = TryJoinAll();
    if (status.ok()) return joined_;
    // Otherwise rounds would wait for this worker until its lease is over.
    for (uint32_t shard = 0; shard < reached_; ++shard) TryLeave(*servers_[shard]);
    return status;
  }

 private:
  absl::Status TryJoinAll() {
    Claim(options_.run);
    for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
      if (absl::Status status = JoinServer(shard); !status.ok()) return status;
    }
    if (absl::Status status = AgreeOnRun(); !status.ok()) return status;
    if (absl::Status status = CheckThatNoneBeginsAnew(); !status.ok()) return status;
    return TellServersApart();
  }

  void Claim(const RunIdentity& run) {
    request_.set_run(run.name);
    request_.set_run_claim(run.claim == RunClaim::kBegun   ? v1::BEGUN
                           : run.claim == RunClaim::kNamed ? v1::NAMED
                                                           : v1::ANY);
  }

  // One server after the other, so that workers that join at the same time agree on one name: that of the first that
  // reached server 0.
  absl::Status AgreeOnRun() {
    RunIdentity run = options_.run;
    bool has_begun = run.claim == RunClaim::kBegun;
    for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
      if (runs_[shard].empty()) continue;
      if (run.name.empty() || run.claim == RunClaim::kAny) run = {runs_[shard], RunClaim::kNamed};
      if (runs_[shard] != run.name) {
        return absl::InvalidArgumentError(absl::StrCat("server ", servers_[shard]->address(), " holds run ",
                                                       runs_[shard], ", but another one of --servers run ", run.name,
                                                       ": name the servers, and give them the state, of one run"));
      }
      has_begun |= joined_.versions[shard] > 0;
    }
    if (run.name.empty()) run = {NewRunName(), RunClaim::kAny};
    for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
      if (!runs_[shard].empty()) continue;
      Claim({run.name, has_begun ? RunClaim::kBegun : run.claim});
      if (absl::Status status = JoinServer(shard); !status.ok()) return status;
      run = {runs_[shard], RunClaim::kNamed};
    }
    joined_.run = run.name;
    for (const auto& server : servers_) server->SetRun(run.name);
    return absl::OkStatus();
  }

  void TryLeave(ServerConnection& server) const {
    grpc::ClientContext context;
    context.set_deadline(DeadlineIn(kLeaveTimeout));
    v1::LeaveRequest request;
    *request.mutable_worker() = request_.worker();
    v1::LeaveResponse response;
    server.stubs.get()->typed->Leave(&context, request, &response);
  }

  absl::Status JoinServer(uint32_t shard) {
    ServerConnection& server = *servers_[shard];
    v1::JoinResponse response;
    if (absl::Status status = Call(server, &response); !status.ok()) return status;
    reached_ = std::max(reached_, shard + 1);
    if (absl::Status status = CheckPlace(shard, response); !status.ok()) return status;
    runs_[shard] = response.run();
    joined_.next_step = std::max<uint64_t>(joined_.next_step, response.next_step());
    if (joined_.settings.empty()) joined_.settings = response.agreement();
    if (absl::Status status =
            CheckServersAgree(server.address(), response.agreement(), servers_.front()->address(), joined_.settings);
        !status.ok()) {
      return status;
    }
    server.NoteView(response.view());
    joined_.is_sync = response.consistency() == v1::SYNC;
    joined_.versions[shard] = response.version();
    joined_.heartbeat_period = absl::Milliseconds(std::max<uint32_t>(response.lease_ms() / 3, 1));
    return absl::OkStatus();
  }

  absl::Status Call(ServerConnection& server, v1::JoinResponse* response) const {
    RetryOptions retry_options;
    retry_options.patience = options_.server_timeout;
    Retry retry(retry_options, options_.rank);
    SystemClock clock;
    bool told = false;
    const auto attempt = [&](absl::Duration timeout) {
      grpc::ClientContext context;
      SetCallIdentity(&context, /*run=*/"");  // the request has it
      context.set_deadline(DeadlineIn(timeout));
      return FromGrpc(server.stubs.get()->typed->Join(&context, request_, response));
    };
    const auto tell = [&](const absl::Status& failed, absl::Duration) {
      server.stubs.NoteFailure(failed);
      if (std::exchange(told, true)) return;
      const absl::Status why = Explain(server.address(), options_.security.get(), failed);
      LogInfo(absl::StrCat("event=waiting_for_server server=", server.address(), " reason=\"", why.message(), "\""));
    };
    const absl::Status status = RetryCall(clock, retry, attempt, tell);
    if (status.ok()) return status;
    const absl::Duration failing_for = retry.FailingFor(clock.Now());
    if (status.GetPayload(kRankHeld).has_value()) {
      return absl::UnavailableError(absl::StrCat(
          "server ", server.address(), " lets this worker not in, for ",
          absl::FormatDuration(absl::Trunc(failing_for, absl::Milliseconds(100))), ": ", status.message()));
    }
    return GaveUp(server.address(), failing_for, Explain(server.address(), options_.security.get(), status));
  }

  absl::Status CheckPlace(uint32_t shard, const v1::JoinResponse& response) const {
    const std::string& address = servers_[shard]->address();
    if (response.shard_count() != servers_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("server ", address, " is one of ", response.shard_count(),
                                                     " servers, but --servers names ", servers_.size()));
    }
    if (response.shard() != shard) {
      return absl::InvalidArgumentError(absl::StrCat("server ", address, " is shard ", response.shard(),
                                                     ", but stands at place ", shard,
                                                     " of --servers: name them in shard order"));
    }
    return absl::OkStatus();
  }

  // Elsewhere a worker that comes anew may make versions while another server waits for all its first weights.
  bool OneBeginsAnew() const {
    if (!joined_.is_sync) return false;
    const auto [least, most] = std::minmax_element(joined_.versions.begin(), joined_.versions.end());
    return *least == 0 && *most > 1;
  }

  // Where versions are steps: a worker makes its first step once it has the initial weights, version 1, of all buckets.
  // So no server can be past version 1 while another is at 0: that one has lost its state.
  absl::Status CheckThatNoneBeginsAnew() {
    if (!OneBeginsAnew()) return absl::OkStatus();
    // The versions are from each server's Join: others may have trained while this worker waited for a later server.
    for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
      if (joined_.versions[shard] > 0) continue;
      if (absl::Status status = JoinServer(shard); !status.ok()) return status;
    }
    if (!OneBeginsAnew()) return absl::OkStatus();
    const auto [least, most] = std::minmax_element(joined_.versions.begin(), joined_.versions.end());
    return absl::FailedPreconditionError(absl::StrCat(
        "server ", options_.addresses[static_cast<size_t>(least - joined_.versions.begin())], " begins anew, but ",
        options_.addresses[static_cast<size_t>(most - joined_.versions.begin())], " is at version ", *most,
        ": it has lost its state; start it with the --state_dir that it had, all servers with --restore_version, or "
        "all with empty ones"));
  }

  // A worker makes a step once it has the answers of the one before from all servers. So in rounds none is more than a
  // version ahead of another, unless one went back. That may be meant (--durability=none, and a crash), so it is said.
  absl::Status TellServersApart() {
    if (!joined_.is_sync) return absl::OkStatus();
    const uint64_t newest = *std::max_element(joined_.versions.begin(), joined_.versions.end());
    for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
      if (joined_.versions[shard] + 1 >= newest) continue;
      // It may have gone on since it was joined.
      if (absl::Status status = JoinServer(shard); !status.ok()) return status;
      if (joined_.versions[shard] + 1 >= newest) continue;
      LogWarning(absl::StrCat(
          "event=server_went_back server=", servers_[shard]->address(), " version=", joined_.versions[shard],
          " newest=", newest,
          " reason=\"it has lost steps that others hold: --restore_version at it alone, an old copy of its state, or a "
          "crash under --durability=none or snapshot\" consequence=\"its part of the model goes on from there; for a "
          "model of one step start all servers with --restore_version\""));
    }
    return absl::OkStatus();
  }

  const GrpcClusterOptions& options_;
  const std::vector<std::unique_ptr<ServerConnection>>& servers_;
  v1::JoinRequest request_;
  JoinedCluster joined_;
  std::vector<std::string> runs_;  // of the servers; empty: none yet
  uint32_t reached_ = 0;           // the servers before it may wait for this worker
};

}  // namespace

v1::WorkerId IdOf(const GrpcClusterOptions& options) {
  v1::WorkerId id;
  id.set_rank(options.rank);
  id.set_incarnation(options.incarnation);
  return id;
}

absl::StatusOr<JoinedCluster> JoinServers(const GrpcClusterOptions& options, const ParameterLayout& layout,
                                          const std::vector<std::unique_ptr<ServerConnection>>& servers) {
  return Joining(options, layout, servers).JoinAll();
}

}  // namespace cddp
