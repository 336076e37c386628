#include "worker/client/cluster_client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/agreement/agreement.h"
#include "common/clock/monotonic.h"
#include "common/codec/crc32c.h"
#include "common/retry/backoff.h"
#include "common/transport/layout_message.h"
#include "common/transport/protocol.h"
#include "common/transport/status.h"

namespace cddp {
namespace {

constexpr absl::Duration kJoinDeadline = absl::Seconds(5);
constexpr absl::Duration kShortCallDeadline = absl::Seconds(5);
constexpr absl::Duration kLeavePatience = absl::Seconds(30);
// A try that lasted so long was not turned away at once.
constexpr absl::Duration kWaited = absl::Seconds(5);

v1::WorkerId IdOf(const ClusterClientOptions& options) {
  v1::WorkerId id;
  id.set_rank(options.rank);
  id.set_incarnation(options.incarnation);
  return id;
}

absl::Status Named(const absl::Status& status, const std::string& address) {
  return absl::Status(status.code(), absl::StrCat("server ", address, ": ", status.message()));
}

absl::Status OutOfReach(const std::string& address, absl::Duration since, const grpc::Status& last) {
  if (IsBusy(last)) {
    return absl::ResourceExhaustedError(absl::StrCat("server ", address, " had no room for ",
                                                     absl::FormatDuration(absl::Trunc(since, absl::Milliseconds(100))),
                                                     ": ", last.error_message()));
  }
  return absl::UnavailableError(absl::StrCat("server ", address, " was out of reach for ",
                                             absl::FormatDuration(absl::Trunc(since, absl::Milliseconds(100))), " (",
                                             last.error_message(), "): is it running, and --servers right?"));
}

struct Heartbeat {
  std::shared_ptr<v1::ParameterServer::Stub> stub;
  grpc::ClientContext context;
  v1::HeartbeatResponse response;
};

}  // namespace

// One Exchange call from first try to answer. Owned by the chain of its callbacks.
struct ClusterClient::ExchangeCall {
  ExchangeCall(uint64_t seed) : backoff(seed) {}
  ServerConnection* server = nullptr;
  std::shared_ptr<v1::ParameterServer::Stub> stub;  // of the try under way
  v1::ExchangeRequest request;
  v1::ExchangeResponse response;
  PushDone done;
  std::optional<grpc::ClientContext> context;  // one a try
  grpc::Alarm alarm;
  Backoff backoff;
  // By MonotonicNow.
  absl::Duration sent;                                   // the try under way
  absl::Duration lost_since = absl::InfiniteDuration();  // tries have failed, one after the other
};

uint64_t PresentIncarnation() { return static_cast<uint64_t>(absl::ToUnixMicros(absl::Now())); }

ClusterClient::ClusterClient(const ClusterClientOptions& options, const ShardMap& map) : options_(options), map_(map) {
  for (const std::string& address : options_.addresses) {
    servers_.push_back(std::make_unique<ServerConnection>(address, options_.security));
  }
}

absl::StatusOr<std::unique_ptr<ClusterClient>> ClusterClient::Join(const ClusterClientOptions& options,
                                                                   const ParameterLayout& layout) {
  absl::StatusOr<ShardMap> map =
      ShardMap::Create(layout.bucket_count(), static_cast<uint32_t>(options.addresses.size()));
  if (!map.ok()) return map.status();
  ClusterClientOptions complete = options;
  if (complete.incarnation == 0) complete.incarnation = PresentIncarnation();
  std::unique_ptr<ClusterClient> client(new ClusterClient(complete, *map));
  client->versions_.resize(client->servers_.size());
  for (uint32_t shard = 0; shard < client->servers_.size(); ++shard) {
    if (absl::Status status = client->JoinServer(shard, layout); !status.ok()) return status;
  }
  if (absl::Status status = client->CheckThatNoneBeginsAnew(layout); !status.ok()) return status;
  client->heartbeats_ = std::thread([raw = client.get()] { raw->SendHeartbeats(); });
  return client;
}

absl::Status ClusterClient::JoinServer(uint32_t shard, const ParameterLayout& layout) {
  ServerConnection& server = *servers_[shard];
  v1::JoinRequest request;
  request.set_protocol_version(kProtocolVersion);
  *request.mutable_worker() = IdOf(options_);
  request.set_worker_count(options_.worker_count);
  *request.mutable_layout() = ToMessage(layout);
  request.set_agreement(options_.agreement);

  Backoff backoff(options_.rank);
  const absl::Duration begin = MonotonicNow();
  v1::JoinResponse response;
  bool told = false;
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kJoinDeadline));
    const grpc::Status status = server.stub.get()->Join(&context, request, &response);
    if (status.ok()) break;
    if (!IsRetryable(status)) return Named(FromGrpc(status), server.address());
    if (!IsBusy(status)) server.stub.NoteFailure();
    if (!std::exchange(told, true)) {
      spdlog::info("event=waiting_for_server server={} reason=\"{}\"", server.address(), status.error_message());
    }
    const absl::Duration pause = backoff.Next();
    if (MonotonicNow() + pause - begin > options_.server_timeout) {
      return OutOfReach(server.address(), MonotonicNow() - begin, status);
    }
    absl::SleepFor(pause);
  }
  if (response.shard_count() != map_.shard_count()) {
    return absl::InvalidArgumentError(absl::StrCat("server ", server.address(), " is one of ", response.shard_count(),
                                                   " servers, but --servers names ", map_.shard_count()));
  }
  if (response.shard() != shard) {
    return absl::InvalidArgumentError(absl::StrCat("server ", server.address(), " is shard ", response.shard(),
                                                   ", but stands at place ", shard,
                                                   " of --servers: name them in shard order"));
  }
  if (agreement_.empty()) agreement_ = response.agreement();
  if (absl::Status status =
          CheckServersAgree(server.address(), response.agreement(), servers_.front()->address(), agreement_);
      !status.ok()) {
    return status;
  }
  server.NoteView(response.view());
  is_sync_ = response.consistency() == v1::SYNC;
  quorum_ = response.quorum();
  versions_[shard] = response.version();
  heartbeat_period_ = absl::Milliseconds(std::max<uint32_t>(response.lease_ms() / 3, 1));
  return absl::OkStatus();
}

absl::Status ClusterClient::CheckThatNoneBeginsAnew(const ParameterLayout& layout) {
  // Where every worker contributes to every round, none gets as far at one server before all have begun at another.
  if (!all_contribute()) return absl::OkStatus();
  const auto one_begins_anew = [this] {
    const auto [least, most] = std::minmax_element(versions_.begin(), versions_.end());
    return *least == 0 && *most > 1;
  };
  if (!one_begins_anew()) return absl::OkStatus();
  // That was so when each was joined: others may have trained while this worker waited for a later one.
  for (uint32_t shard = 0; shard < versions_.size(); ++shard) {
    if (versions_[shard] > 0) continue;
    if (absl::Status status = JoinServer(shard, layout); !status.ok()) return status;
  }
  if (!one_begins_anew()) return absl::OkStatus();
  const auto [least, most] = std::minmax_element(versions_.begin(), versions_.end());
  return absl::FailedPreconditionError(absl::StrCat(
      "server ", options_.addresses[static_cast<size_t>(least - versions_.begin())], " begins anew, but ",
      options_.addresses[static_cast<size_t>(most - versions_.begin())], " is at version ", *most,
      ": it has lost its state; start it with the --state_dir that it had, all servers with --restore_version, or all "
      "with empty ones"));
}

uint64_t ClusterClient::version() const { return *std::min_element(versions_.begin(), versions_.end()); }

ClusterClient::~ClusterClient() {
  ending_.Notify();
  if (heartbeats_.joinable()) heartbeats_.join();
  std::unique_lock lock(mutex_);
  for (ExchangeCall* call : calls_) {
    if (call->context.has_value()) call->context->TryCancel();
  }
  calls_ended_.wait(lock, [this] { return calls_.empty(); });
}

void ClusterClient::SendHeartbeats() {
  v1::HeartbeatRequest request;
  *request.mutable_worker() = IdOf(options_);
  while (!ending_.WaitFor(heartbeat_period_)) {
    request.set_step(step_.load(std::memory_order_relaxed));
    request.set_loss(loss_.load(std::memory_order_relaxed));
    // To all at once: one that does not answer must not keep those to the others back.
    std::vector<Heartbeat> heartbeats(servers_.size());
    absl::BlockingCounter unanswered(static_cast<int>(servers_.size()));
    for (size_t i = 0; i < servers_.size(); ++i) {
      Heartbeat& heartbeat = heartbeats[i];
      heartbeat.stub = servers_[i]->heartbeat_stub.get();
      heartbeat.context.set_deadline(absl::ToChronoTime(absl::Now() + heartbeat_period_));
      heartbeat.stub->async()->Heartbeat(
          &heartbeat.context, &request, &heartbeat.response,
          [&heartbeat, &unanswered, server = servers_[i].get()](const grpc::Status& status) {
            if (status.ok()) {
              server->heartbeat_stub.NoteSuccess();
              server->NoteHeard();
              server->NoteView(heartbeat.response.view());
            } else {
              server->heartbeat_stub.NoteFailure();
              spdlog::warn("event=heartbeat_failed server={} reason=\"{}\"", server->address(), status.error_message());
            }
            unanswered.DecrementCount();
          });
    }
    unanswered.Wait();
  }
}

void ClusterClient::Exchange(std::vector<PushedUpdate> pushes, PushDone done) {
  auto* call = new ExchangeCall(options_.rank);
  call->server = servers_[server_of(pushes.front().bucket)].get();
  call->done = std::move(done);
  *call->request.mutable_worker() = IdOf(options_);
  call->request.set_view(call->server->view());
  for (PushedUpdate& update : pushes) {
    v1::BucketPush& push = *call->request.add_pushes();
    push.set_bucket(update.bucket);
    push.set_step(update.step);
    push.set_base_version(update.base_version);
    push.set_update(std::move(update.update));
    push.set_non_finite(update.non_finite);
    if (update.replica_crc32c.has_value()) push.set_replica_crc32c(*update.replica_crc32c);
  }
  {
    std::lock_guard lock(mutex_);
    calls_.insert(call);
  }
  Send(call);
}

void ClusterClient::Send(ExchangeCall* call) {
  {
    std::lock_guard lock(mutex_);
    call->context.emplace();  // no deadline: a round lasts as long as the slowest worker; keepalive finds a dead server
    if (ending_.HasBeenNotified()) call->context->TryCancel();
  }
  call->stub = call->server->stub.get();
  call->sent = MonotonicNow();
  call->stub->async()->Exchange(
      &*call->context, &call->request, &call->response, [this, call](const grpc::Status& status) {
        if (status.ok()) {
          call->server->stub.NoteSuccess();
          const bool fits = call->response.answers_size() == call->request.pushes_size();
          Finish(call, fits ? absl::OkStatus()
                            : absl::InternalError(absl::StrCat("server ", call->server->address(), " gave ",
                                                               call->response.answers_size(), " answers to ",
                                                               call->request.pushes_size(), " pushes")));
          return;
        }
        if (!IsRetryable(status)) {
          Finish(call, Named(FromGrpc(status), call->server->address()));
          return;
        }
        const absl::Duration now = MonotonicNow();
        // A try that waited for its round at a server that was there ends an outage; this is another.
        if (now - call->sent > kWaited && (IsBusy(status) || call->server->heard() > call->sent)) {
          call->lost_since = now;
          call->backoff.Reset();
        }
        call->lost_since = std::min(call->lost_since, now);
        if (!IsBusy(status)) call->server->stub.NoteFailure();
        retries_.fetch_add(1, std::memory_order_relaxed);
        if (now - call->lost_since > options_.server_timeout || ending_.HasBeenNotified()) {
          Finish(call, OutOfReach(call->server->address(), now - call->lost_since, status));
          return;
        }
        call->server->TellWaiting(status.error_message());
        call->alarm.Set(absl::ToChronoTime(absl::Now() + call->backoff.Next()), [this, call](bool) { Send(call); });
      });
}

void ClusterClient::Finish(ExchangeCall* call, const absl::Status& status) {
  for (int i = 0; i < call->request.pushes_size(); ++i) {
    v1::BucketPush& push = *call->request.mutable_pushes(i);
    if (!status.ok()) {
      call->done(push.bucket(), status);
      continue;
    }
    v1::BucketAnswer& answer = *call->response.mutable_answers(i);
    call->done(push.bucket(), PulledUpdate{answer.version(),
                                           {std::make_move_iterator(answer.mutable_updates()->begin()),
                                            std::make_move_iterator(answer.mutable_updates()->end())},
                                           answer.replaces(),
                                           answer.refused(),
                                           std::move(*push.mutable_update())});
  }
  std::lock_guard lock(mutex_);  // held while notifying: the waiter destroys this object
  calls_.erase(call);
  delete call;
  if (calls_.empty()) calls_ended_.notify_all();
}

absl::Status ClusterClient::ReadSnapshot(const TakeBucket& take) {
  for (const auto& server : servers_) {
    Backoff backoff(options_.rank);
    absl::Duration lost_since = absl::InfiniteDuration();
    while (true) {
      absl::Status taken;
      const grpc::Status status = ReadServersSnapshot(*server, take, &taken);
      if (!taken.ok()) return Named(taken, server->address());
      if (status.ok()) break;
      if (!IsRetryable(status)) return Named(FromGrpc(status), server->address());
      if (!IsBusy(status)) server->stub.NoteFailure();
      const absl::Duration now = MonotonicNow();
      lost_since = std::min(lost_since, now);
      if (now - lost_since > options_.server_timeout) return OutOfReach(server->address(), now - lost_since, status);
      server->TellWaiting(status.error_message());
      absl::SleepFor(backoff.Next());
    }
  }
  return absl::OkStatus();
}

grpc::Status ClusterClient::ReadServersSnapshot(ServerConnection& server, const TakeBucket& take, absl::Status* taken) {
  grpc::ClientContext context;
  const std::shared_ptr<v1::ParameterServer::Stub> stub = server.stub.get();  // outlives the reader
  const auto reader = stub->Snapshot(&context, {});
  v1::SnapshotChunk chunk;
  std::vector<float> weights;
  while (taken->ok() && reader->Read(&chunk)) {
    if (Crc32c(chunk.weights().data(), chunk.weights().size()) != chunk.crc32c()) {
      *taken = absl::DataLossError(absl::StrCat("bucket ", chunk.bucket(), " came damaged (checksum)"));
    } else {
      weights.resize(chunk.weights().size() / sizeof(float));
      std::memcpy(weights.data(), chunk.weights().data(), weights.size() * sizeof(float));
      *taken = take(chunk.bucket(), chunk.version(), weights);
    }
    if (!taken->ok()) context.TryCancel();
  }
  return reader->Finish();
}

void ClusterClient::Leave(bool finished) {
  v1::LeaveRequest request;
  *request.mutable_worker() = IdOf(options_);
  request.set_finished(finished);
  const absl::Duration end = MonotonicNow() + std::min(options_.server_timeout, kLeavePatience);
  for (const auto& server : servers_) {
    Backoff backoff(options_.rank);
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(absl::Now() + kShortCallDeadline));
      v1::LeaveResponse response;
      const grpc::Status status = server->stub.get()->Leave(&context, request, &response);
      if (status.ok()) break;
      server->stub.NoteFailure();
      const absl::Duration pause = backoff.Next();
      if (!IsRetryable(status) || MonotonicNow() + pause > end) {
        spdlog::warn("event=leave_failed server={} reason=\"{}\"", server->address(), status.error_message());
        break;
      }
      absl::SleepFor(pause);
    }
  }
}

}  // namespace cddp
