#include "worker/cluster/exchange_calls.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/clock/monotonic.h"
#include "common/retry/retry.h"
#include "common/transport/deadline.h"
#include "common/transport/exchange_wire.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

constexpr char kMethod[] = "/cddp.v1.ParameterServer/Exchange";

// A round lasts as long as the slowest worker, so a try has no deadline; keepalive finds a server that is gone.
RetryOptions RetryOptionsOf(absl::Duration patience) {
  RetryOptions options;
  options.patience = patience;
  options.try_timeout = absl::InfiniteDuration();
  return options;
}

}  // namespace

// Owned by the chain of its callbacks.
struct ExchangeCalls::Call {
  Call(absl::Duration patience, uint64_t seed) : retry(RetryOptionsOf(patience), seed) {}

  ServerConnection* server = nullptr;
  std::vector<uint32_t> buckets;  // of the pushes
  Cluster::Answered done;
  grpc::ByteBuffer request;  // for every try: it refers to the updates
  grpc::ByteBuffer response;
  std::shared_ptr<ServerStubs> stubs;          // of the try under way
  std::optional<grpc::ClientContext> context;  // one per try
  grpc::Alarm alarm;                           // of the next try
  Retry retry;
};

void ExchangeCalls::Cancel(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (!cancelled_.ok()) return;
  cancelled_ = why;
  for (Call* call : calls_) {
    if (call->context.has_value()) call->context->TryCancel();
    call->alarm.Cancel();
  }
}

ExchangeCalls::~ExchangeCalls() {
  Cancel(absl::CancelledError("the worker ends"));
  MutexLock lock(mutex_);
  ended_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return calls_.empty(); });
}

void ExchangeCalls::Start(ServerConnection* server, const PushRequest& request, Cluster::Answered done) {
  auto* call = new Call(patience_, seed_);
  call->server = server;
  call->done = std::move(done);
  for (const Push& push : request.pushes) call->buckets.push_back(push.bucket);
  call->request = SerializeExchangeRequest(request);
  {
    MutexLock lock(mutex_);
    calls_.insert(call);
  }
  Send(call);
}

void ExchangeCalls::Send(Call* call) {
  {
    MutexLock lock(mutex_);
    call->context.emplace();
    call->server->NameIn(&*call->context);
    if (!cancelled_.ok()) call->context->TryCancel();
  }
  call->stubs = call->server->stubs.get();
  call->response.Clear();
  call->retry.Begin(MonotonicNow());
  call->stubs->generic.UnaryCall(&*call->context, kMethod, {}, &call->request, &call->response,
                                 [this, call](const grpc::Status& status) {
                                   if (status.ok()) {
                                     Succeeded(call);
                                   } else {
                                     Failed(call, FromGrpc(status));
                                   }
                                 });
}

void ExchangeCalls::Succeeded(Call* call) {
  call->server->stubs.NoteSuccess();
  absl::StatusOr<std::vector<PushReply>> replies = ParseExchangeResponse(&call->response, call->buckets.size());
  if (!replies.ok()) replies = GaveUp(call->server->address(), absl::ZeroDuration(), replies.status());
  Finish(call, std::move(replies));
}

void ExchangeCalls::Failed(Call* call, const absl::Status& status) {
  const absl::Duration now = MonotonicNow();
  const Failure failure = FailureOf(status);
  call->server->stubs.NoteFailure(status);
  call->retry.NoteHeard(call->server->heard());
  const std::optional<absl::Duration> pause = call->retry.NoteFailure(failure, now);
  if (pause.has_value() && SendLater(call, *pause)) {
    retries_.fetch_add(1, std::memory_order_relaxed);
    call->server->TellWaiting(status.message());
  } else if (const absl::Status why = cancelled(); !why.ok()) {
    Finish(call, why);
  } else {
    Finish(call, GaveUp(call->server->address(), call->retry.FailingFor(now), status));
  }
}

absl::Status ExchangeCalls::cancelled() {
  MutexLock lock(mutex_);
  return cancelled_;
}

bool ExchangeCalls::SendLater(Call* call, absl::Duration pause) {
  MutexLock lock(mutex_);  // otherwise Cancel might miss the alarm
  if (!cancelled_.ok()) return false;
  call->alarm.Set(DeadlineIn(pause), [this, call](bool) { Send(call); });
  return true;
}

void ExchangeCalls::Finish(Call* call, absl::StatusOr<std::vector<PushReply>> replies) {
  for (size_t i = 0; i < call->buckets.size(); ++i) {
    if (replies.ok()) {
      call->done(call->buckets[i], std::move((*replies)[i]));
    } else {
      call->done(call->buckets[i], replies.status());
    }
  }
  MutexLock lock(mutex_);  // held while notifying: the waiter destroys this object
  calls_.erase(call);
  delete call;
  if (calls_.empty()) ended_.NotifyAll();
}

}  // namespace cddp
