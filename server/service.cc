#include "server/service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/agreement/run_identity.h"
#include "common/clock/steady_time.h"
#include "common/codec/crc32c.h"
#include "common/transport/call_identity.h"
#include "common/transport/exchange_wire.h"
#include "common/transport/intended_server.h"
#include "common/transport/layout_message.h"
#include "common/transport/protocol.h"
#include "common/transport/status.h"
#include "server/exchange_call.h"
#include "server/shard_recovery.h"
#include "server/update_run.h"

namespace cddp {
namespace {

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

v1::WorkerStatus::State StateOf(const Member& member) {
  switch (member.state) {
    case MemberState::kFinished:
      return v1::WorkerStatus::FINISHED;
    case MemberState::kLeft:
      return v1::WorkerStatus::LEFT;
    case MemberState::kJoined:
    case MemberState::kLost:
      break;
  }
  return member.lost ? v1::WorkerStatus::LOST : v1::WorkerStatus::JOINED;
}

v1::Consistency ToMessage(Consistency mode) {
  switch (mode) {
    case Consistency::kSync:
      return v1::SYNC;
    case Consistency::kStale:
      return v1::STALE;
    case Consistency::kAsync:
      return v1::ASYNC;
  }
  return v1::CONSISTENCY_UNSPECIFIED;
}

RunClaim ClaimOf(const v1::JoinRequest& request) {
  switch (request.run_claim()) {
    case v1::NAMED:
      return RunClaim::kNamed;
    case v1::BEGUN:
      return RunClaim::kBegun;
    default:
      return RunClaim::kAny;
  }
}

// Streams published weights, one bucket per message. Deletes itself when the call is over.
class SnapshotStream final : public grpc::ServerWriteReactor<v1::SnapshotChunk> {
 public:
  // `sent` is called with every chunk's bytes.
  SnapshotStream(Limits* limits, const std::string& peer, absl::StatusOr<ParameterService::Weights> weights,
                 std::function<void(size_t)> sent)
      : sent_(std::move(sent)), call_(limits) {
    absl::Status status = weights.status();
    if (status.ok()) status = call_.Begin(peer);
    if (!status.ok()) {
      Finish(ToGrpc(status));
      return;
    }
    next_ = std::move(weights->next);
    *chunk_.mutable_layout() = ToMessage(weights->layout);
    WriteNext();
  }

  void OnWriteDone(bool ok) override {
    chunk_.clear_layout();
    if (ok) {
      WriteNext();
    } else {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
    }
  }
  void OnCancel() override { call_.Abandoned(); }
  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    next_([this](const absl::StatusOr<std::optional<PublishedWeights>>& next) { Write(next); });
  }
  // This object lives until then: it is deleted after Finish.
  void Write(const absl::StatusOr<std::optional<PublishedWeights>>& next) {
    if (!next.ok() || !next->has_value()) {
      Finish(ToGrpc(next.status()));
      return;
    }
    const PublishedWeights& bucket = **next;
    size_t bytes = bucket.weights.size() * sizeof(float);
    chunk_.set_bucket(bucket.bucket);
    chunk_.set_version(bucket.version);
    chunk_.set_weights(bucket.weights.data(), bytes);
    chunk_.set_crc32c(Crc32c(bucket.weights.data(), bytes));
    chunk_.clear_updates();
    for (const SharedBytes& update : UpdatesOfAll(bucket.changes.value_or(std::vector<SharedBytes>()))) {
      chunk_.add_updates(update.data(), update.size());
      bytes += update.size();
    }
    call_.Answered(2 * bytes);  // here, and as gRPC keeps it
    sent_(bytes);
    StartWrite(&chunk_);
  }

  const std::function<void(size_t)> sent_;
  std::function<void(const ParameterService::Weights::Then&)> next_;
  Limits::Call call_;
  v1::SnapshotChunk chunk_;
};

}  // namespace

ParameterService::ParameterService(Shard* shard, ServerMetrics* metrics, Access* access, Limits* limits,
                                   Refusals* refusals)
    : shard_(*shard),
      metrics_(*metrics),
      access_(*access),
      limits_(*limits),
      refusals_(*refusals),
      started_(SteadyNow()) {
  auto& family = prometheus::BuildCounter()
                     .Name("cddp_server_calls_total")
                     .Help("Calls received, by method, including refused ones")
                     .Register(*metrics->registry());
  for (size_t i = 0; i < kRpcCount; ++i) {
    calls_[i] = &family.Add(
        {{"shard", std::to_string(shard->options().shard)}, {"method", std::string(RpcName(static_cast<Rpc>(i)))}});
  }
}

absl::StatusOr<Caller> ParameterService::Admit(const grpc::CallbackServerContext& context, Rpc rpc) {
  calls_[static_cast<size_t>(rpc)]->Increment();
  absl::StatusOr<Caller> caller = access_.Check(context, rpc);
  if (!caller.ok()) return caller;
  const ShardOptions& options = shard_.options();
  absl::Status status = CheckIntendedServer(context.client_metadata(), options.shard, options.shard_count);
  if (!status.ok()) {
    refusals_.Note(Refusal::kWrongServer, context.peer(), std::string(status.message()));
    return status;
  }
  status = CheckProtocol(context.client_metadata());
  const bool is_understood = status.ok();
  if (is_understood) status = shard_.CheckRun(RunOf(context.client_metadata()));
  if (!status.ok()) {
    refusals_.Note(is_understood ? Refusal::kWrongRun : Refusal::kWrongProtocol, context.peer(),
                   std::string(status.message()));
    return status;
  }
  return caller;
}

absl::Status ParameterService::Admit(const grpc::CallbackServerContext& context, Rpc rpc, const v1::WorkerId& worker) {
  const absl::StatusOr<Caller> caller = Admit(context, rpc);
  if (!caller.ok()) return caller.status();
  if (absl::Status status = limits_.TakeTurn(context.peer()); !status.ok()) return status;
  return access_.CheckRank(context, *caller, worker.rank());
}

absl::Status ParameterService::FillClaim(const v1::ClaimRankRequest& request, v1::ClaimRankResponse* response) {
  const ShardOptions& options = shard_.options();
  if (request.protocol_version() != kProtocolVersion) {
    return absl::InvalidArgumentError(absl::StrCat("the worker speaks protocol version ", request.protocol_version(),
                                                   ", this server ", kProtocolVersion, ": run one release everywhere"));
  }
  if (options.shard != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is shard ", options.shard, "; shard 0 gives out ranks: name the servers in shard order"));
  }
  if (request.worker_count() != options.worker_count) {
    return absl::InvalidArgumentError(absl::StrCat("the worker was started with --workers=", request.worker_count(),
                                                   ", this server with --workers=", options.worker_count,
                                                   ": give both the same, the most workers that there may ever be"));
  }
  absl::StatusOr<uint32_t> rank = shard_.membership().Claim(request.incarnation(), request.nonce());
  if (!rank.ok()) return rank.status();
  response->set_rank(*rank);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ParameterService::ClaimRank(grpc::CallbackServerContext* context,
                                                      const v1::ClaimRankRequest* request,
                                                      v1::ClaimRankResponse* response) {
  absl::Status refused = Admit(*context, Rpc::kClaimRank).status();
  if (refused.ok()) refused = limits_.TakeTurn(context->peer());
  if (!refused.ok()) return Answer(context, refused);
  const absl::Status status = FillClaim(*request, response);
  if (status.ok()) {
    spdlog::info("event=rank_claimed rank={} incarnation={} peer={}", response->rank(), request->incarnation(),
                 context->peer());
  }
  return Answer(context, status);
}

absl::StatusOr<ParameterLayout> ParameterService::CheckJoin(const v1::JoinRequest& request) const {
  if (request.protocol_version() != kProtocolVersion) {
    return absl::InvalidArgumentError(absl::StrCat("worker ", request.worker().rank(), " speaks protocol version ",
                                                   request.protocol_version(), ", this server ", kProtocolVersion,
                                                   ": run one release everywhere"));
  }
  absl::StatusOr<ParameterLayout> layout = FromMessage(request.layout());
  if (!layout.ok()) return layout.status();
  const absl::Status fits = limits_.CheckRound(shard_.options().worker_count, layout->bucket_elements());
  if (!fits.ok()) return fits;
  if (!request.run().empty()) {
    if (absl::Status status = CheckRunName("run", request.run()); !status.ok()) return status;
  }
  return layout;
}

void ParameterService::FillJoin(const Shard::JoinResult& joined, v1::JoinResponse* response) const {
  response->set_shard(shard_.options().shard);
  response->set_shard_count(shard_.options().shard_count);
  response->set_bucket_begin(joined.buckets.begin);
  response->set_bucket_end(joined.buckets.end);
  response->set_view(shard_.view());
  response->set_lease_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(shard_.options().lease)));
  response->set_version(joined.version);
  response->set_consistency(ToMessage(shard_.options().consistency.mode));
  response->set_quorum(shard_.options().consistency.quorum);
  response->set_agreement(DescribeForWorkers(shard_.options()));
  response->set_run(joined.run);
  response->set_next_step(joined.next_step);
}

grpc::ServerUnaryReactor* ParameterService::Join(grpc::CallbackServerContext* context, const v1::JoinRequest* request,
                                                 v1::JoinResponse* response) {
  if (absl::Status refused = Admit(*context, Rpc::kJoin, request->worker()); !refused.ok()) {
    return Answer(context, refused);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const Shard::JoinDone done = [this, context, request, response,
                                reactor](const absl::StatusOr<Shard::JoinResult>& joined) {
    if (joined.ok()) {
      FillJoin(*joined, response);
      spdlog::info("event=join rank={} incarnation={} peer={}", request->worker().rank(),
                   request->worker().incarnation(), context->peer());
    } else {
      spdlog::warn("event=join_refused rank={} peer={} reason=\"{}\"", request->worker().rank(), context->peer(),
                   std::string(joined.status().message()));
    }
    reactor->Finish(ToGrpc(joined.status()));
  };
  const absl::StatusOr<ParameterLayout> layout = CheckJoin(*request);
  if (layout.ok()) {
    shard_.Join(request->worker().rank(), request->worker().incarnation(), request->worker_count(), *layout,
                request->agreement(), {request->run(), ClaimOf(*request)}, done);
  } else {
    done(layout.status());
  }
  return reactor;
}

grpc::ServerUnaryReactor* ParameterService::Leave(grpc::CallbackServerContext* context, const v1::LeaveRequest* request,
                                                  v1::LeaveResponse* response) {
  if (absl::Status refused = Admit(*context, Rpc::kLeave, request->worker()); !refused.ok()) {
    return Answer(context, refused);
  }
  spdlog::info("event=leave rank={} finished={}", request->worker().rank(), request->finished());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  shard_.Leave(request->worker().rank(), request->worker().incarnation(), request->finished(),
               [reactor](const absl::Status& left) { reactor->Finish(ToGrpc(left)); });
  return reactor;
}

grpc::ServerUnaryReactor* ParameterService::Heartbeat(grpc::CallbackServerContext* context,
                                                      const v1::HeartbeatRequest* request,
                                                      v1::HeartbeatResponse* response) {
  if (absl::Status refused = Admit(*context, Rpc::kHeartbeat, request->worker()); !refused.ok()) {
    return Answer(context, refused);
  }
  response->set_view(shard_.view());
  const BucketState::Waiting waiting = shard_.waiting();
  for (const uint32_t rank : waiting.ranks) response->add_waiting_for(rank);
  if (!waiting.ranks.empty()) {
    response->set_waiting_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(SteadyNow() - waiting.since)));
  }
  return Answer(context, shard_.membership().Heartbeat(request->worker().rank(), request->worker().incarnation(),
                                                       request->step(), request->loss()));
}

grpc::ServerUnaryReactor* ParameterService::Exchange(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, Rpc::kExchange);
  if (!caller.ok()) return Answer(context, caller.status());
  auto* call = new ExchangeCall(&shard_, &limits_, response);
  if (!call->Begin(context->peer())) return call;
  // gRPC made the buffer for this call alone and reads it no more: taking its bytes saves holding them twice.
  absl::StatusOr<PushRequest> message = ParseExchangeRequest(const_cast<grpc::ByteBuffer*>(request));
  absl::Status status = message.status();
  if (status.ok()) status = access_.CheckRank(*context, *caller, message->rank);
  if (status.ok()) {
    call->Start(*std::move(message));
  } else {
    call->Refuse(status);
  }
  return call;
}

absl::StatusOr<ParameterService::Weights> ParameterService::Open(const v1::SnapshotRequest& request) {
  const std::optional<ParameterLayout> layout = shard_.layout();
  if (!layout.has_value()) {
    return absl::FailedPreconditionError("no worker has joined yet: there are no weights");
  }
  if (request.version() != 0) return Weights{*layout, CheckpointReader(request.version())};
  const BucketRun run = *shard_.buckets();
  std::vector<uint64_t> held(request.held_versions().begin(), request.held_versions().end());
  if (!held.empty() && held.size() != run.end - run.begin) {
    return absl::InvalidArgumentError(absl::StrCat("the reader holds ", held.size(), " buckets, this server has ",
                                                   run.end - run.begin, ": read a Snapshot without held_versions"));
  }
  held.resize(run.end - run.begin);
  if (request.has_worker()) {
    const absl::Status lets = shard_.LetCatchUp(request.worker().rank(), request.worker().incarnation());
    if (!lets.ok()) return lets;
  }
  return Weights{*layout, [this, run, held = std::move(held),
                           next = std::max(run.begin, request.first_bucket())](const Weights::Then& then) mutable {
                   if (next >= run.end) return then(std::nullopt);
                   const uint32_t bucket = next++;
                   shard_.Read(bucket, held[bucket - run.begin], [then](absl::StatusOr<PublishedWeights> weights) {
                     if (!weights.ok()) return then(weights.status());
                     then(*std::move(weights));
                   });
                 }};
}

std::function<void(const ParameterService::Weights::Then&)> ParameterService::CheckpointReader(uint64_t version) {
  auto reader = std::make_shared<std::unique_ptr<SnapshotReader>>();  // opened by the first read
  return [this, version, reader](const Weights::Then& then) {
    reads_.Run([this, version, reader, then] {
      if (*reader == nullptr) {
        absl::StatusOr<std::unique_ptr<SnapshotReader>> opened = shard_.OpenCheckpoint(version);
        if (!opened.ok()) return then(opened.status());
        *reader = *std::move(opened);
      }
      then(shard_.ReadCheckpoint(**reader));
    });
  };
}

grpc::ServerWriteReactor<v1::SnapshotChunk>* ParameterService::Snapshot(grpc::CallbackServerContext* context,
                                                                        const v1::SnapshotRequest* request) {
  const absl::StatusOr<Caller> caller = Admit(*context, Rpc::kSnapshot);
  absl::Status refused = caller.status();
  const bool catches_up = request->has_worker() && request->version() == 0;
  if (refused.ok() && catches_up) refused = access_.CheckRank(*context, *caller, request->worker().rank());
  const auto sent = [this, catches_up, rank = request->worker().rank(),
                     incarnation = request->worker().incarnation()](size_t bytes) {
    if (!catches_up) return;
    shard_.membership().NoteRead(rank, incarnation, bytes);
    metrics_.catch_up_bytes.Increment(static_cast<double>(bytes));
  };
  return new SnapshotStream(&limits_, context->peer(), refused.ok() ? Open(*request) : refused, sent);
}

grpc::ServerUnaryReactor* ParameterService::Checkpoint(grpc::CallbackServerContext* context,
                                                       const v1::CheckpointRequest* request,
                                                       v1::CheckpointResponse* response) {
  absl::Status refused = Admit(*context, Rpc::kCheckpoint).status();
  if (refused.ok()) refused = limits_.TakeTurn(context->peer());
  if (!refused.ok()) return Answer(context, refused);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  shard_.WriteCheckpoint(request->version(),
                         [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

grpc::ServerUnaryReactor* ParameterService::Status(grpc::CallbackServerContext* context,
                                                   const v1::StatusRequest* request, v1::StatusResponse* response) {
  absl::Status refused = Admit(*context, Rpc::kStatus).status();
  if (refused.ok()) refused = limits_.TakeTurn(context->peer());
  if (!refused.ok()) return Answer(context, refused);
  const ShardStatus status = shard_.status();
  const absl::Time now = SteadyNow();
  response->set_shard(shard_.options().shard);
  response->set_shard_count(shard_.options().shard_count);
  response->set_protocol_version(kProtocolVersion);
  response->set_worker_count(shard_.options().worker_count);
  response->set_view(status.view);
  response->set_parameters(status.parameters);
  response->set_shard_parameters(status.shard_parameters);
  if (status.buckets.has_value()) {
    response->set_bucket_begin(status.buckets->begin);
    response->set_bucket_end(status.buckets->end);
  }
  response->set_min_version(status.min_version);
  response->set_max_version(status.max_version);
  for (const Member& member : status.members) {
    v1::WorkerStatus* worker = response->add_workers();
    worker->mutable_worker()->set_rank(member.rank);
    worker->mutable_worker()->set_incarnation(member.incarnation);
    worker->set_state(StateOf(member));
    worker->set_step(member.step);
    worker->set_silent_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(member.silent)));
    worker->set_loss(member.loss);
    worker->set_received_bytes(member.received_bytes);
    worker->set_sent_bytes(member.sent_bytes);
    worker->set_catching_up(member.part == MemberPart::kCatchingUp);
    worker->set_read_bytes(member.read_bytes);
    worker->set_read_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(member.reading_time)));
  }
  for (uint32_t rank : status.waiting.ranks) response->add_waiting_for(rank);
  if (!status.waiting.ranks.empty()) {
    response->set_waiting_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(now - status.waiting.since)));
  }
  response->set_received_bytes(static_cast<uint64_t>(metrics_.received_bytes.Value()));
  response->set_sent_bytes(static_cast<uint64_t>(metrics_.sent_bytes.Value()));
  response->set_exchanges(static_cast<uint64_t>(metrics_.exchanges.Value()));
  response->set_refused_exchanges(static_cast<uint64_t>(metrics_.exchange_errors.Value()));
  response->set_refused_steps(static_cast<uint64_t>(metrics_.refused_rounds.Value()));
  response->set_uptime_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(now - started_)));
  if (request->with_weights_crc32c()) response->set_weights_crc32c(shard_.Checksum());
  response->set_run(shard_.run());
  response->set_agreement(shard_.agreement());
  response->set_trouble(status.trouble);
  return Answer(context, absl::OkStatus());
}

}  // namespace cddp
