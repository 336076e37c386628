#include "worker/cluster/heartbeats.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/blocking_counter.h"
#include "common/log/log.h"
#include "common/retry/retry.h"
#include "common/transport/deadline.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

constexpr uint64_t kStuckMs = 10'000;

struct Heartbeat {
  std::shared_ptr<ServerStubs> stubs;
  grpc::ClientContext context;
  v1::HeartbeatResponse response;
  absl::Status status;
};

// Will every call of this process to that server end so? Servers that are away, starting or another's say something
// else.
bool IsForGood(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status);
}

}  // namespace

Heartbeats::~Heartbeats() {
  ending_.Notify();
  thread_.join();
}

void Heartbeats::Run() {
  v1::HeartbeatRequest request;
  *request.mutable_worker() = worker_;
  while (!ending_.WaitFor(period_)) {
    request.set_step(step_.load(std::memory_order_relaxed));
    request.set_loss(loss_.load(std::memory_order_relaxed));
    std::vector<Heartbeat> heartbeats(servers_.size());
    absl::BlockingCounter unanswered(static_cast<int>(servers_.size()));
    for (size_t i = 0; i < servers_.size(); ++i) {
      Heartbeat& heartbeat = heartbeats[i];
      heartbeat.stubs = servers_[i]->heartbeat_stubs.get();
      servers_[i]->NameIn(&heartbeat.context);
      heartbeat.context.set_deadline(DeadlineIn(period_));
      heartbeat.stubs->typed->async()->Heartbeat(
          &heartbeat.context, &request, &heartbeat.response,
          [&heartbeat, &unanswered, server = servers_[i].get()](const grpc::Status& status) {
            if (status.ok()) {
              server->heartbeat_stubs.NoteSuccess();
              server->NoteHeard();
              server->NoteView(heartbeat.response.view());
            } else {
              heartbeat.status = FromGrpc(status);
              server->heartbeat_stubs.NoteFailure(heartbeat.status);
              LogWarning(absl::StrCat("event=heartbeat_failed server=", server->address(), " reason=\"",
                                      status.error_message(), "\""));
            }
            unanswered.DecrementCount();
          });
    }
    unanswered.Wait();
    for (size_t i = 0; i < heartbeats.size(); ++i) {
      const absl::Status& status = heartbeats[i].status;
      if (IsForGood(status)) refused_(GaveUp(servers_[i]->address(), absl::ZeroDuration(), status));
    }
    // The server whose round has waited longest.
    size_t oldest = 0;
    for (size_t i = 0; i < heartbeats.size(); ++i) {
      if (heartbeats[i].response.waiting_ms() > heartbeats[oldest].response.waiting_ms()) oldest = i;
    }
    TellWaiting(servers_[oldest]->address(), heartbeats[oldest].response);
  }
}

// Logs after ten seconds, and whenever the time has doubled.
void Heartbeats::TellWaiting(const std::string& server, const v1::HeartbeatResponse& response) {
  const uint64_t waiting_ms = response.waiting_ms();
  if (waiting_ms < told_waiting_ms_) told_waiting_ms_ = 0;  // another round
  const auto& ranks = response.waiting_for();
  const bool for_me = std::find(ranks.begin(), ranks.end(), worker_.rank()) != ranks.end();
  if (ranks.empty() || for_me || waiting_ms < kStuckMs || waiting_ms < 2 * told_waiting_ms_) return;
  told_waiting_ms_ = waiting_ms;
  LogWarning(absl::StrCat(
      "event=step_waits for_workers=", absl::StrJoin(ranks, ","), " seconds=", waiting_ms / 1000, " server=", server,
      " reason=\"the step is complete when these have contributed: they have not come yet, are slow, "
      "or hang\""));
}

}  // namespace cddp
