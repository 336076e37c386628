#include "worker/cluster/heartbeats.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

struct Heartbeat {
  std::shared_ptr<ServerStubs> stubs;
  grpc::ClientContext context;
  v1::HeartbeatResponse response;
};

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
      heartbeat.context.set_deadline(absl::ToChronoTime(absl::Now() + period_));
      heartbeat.stubs->typed->async()->Heartbeat(
          &heartbeat.context, &request, &heartbeat.response,
          [&heartbeat, &unanswered, server = servers_[i].get()](const grpc::Status& status) {
            if (status.ok()) {
              server->heartbeat_stubs.NoteSuccess();
              server->NoteHeard();
              server->NoteView(heartbeat.response.view());
            } else {
              server->heartbeat_stubs.NoteFailure(FromGrpc(status));
              LogWarning(absl::StrCat("event=heartbeat_failed server=", server->address(), " reason=\"",
                                      status.error_message(), "\""));
            }
            unanswered.DecrementCount();
          });
    }
    unanswered.Wait();
  }
}

}  // namespace cddp
