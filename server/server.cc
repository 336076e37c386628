#include "server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "common/config/process.h"
#include "common/metrics/metrics_server.h"
#include "common/transport/address.h"
#include "common/transport/channel_arguments.h"
#include "common/transport/deadline.h"
#include "common/transport/protocol.h"
#include "server/service.h"

namespace cddp {
namespace {

constexpr absl::Duration kWatchPeriod = absl::Milliseconds(500);
constexpr absl::Duration kKeepPeriod = absl::Milliseconds(100);
constexpr absl::Duration kStuckAfter = absl::Seconds(10);
constexpr absl::Duration kReturnMemoryPeriod = absl::Minutes(1);
constexpr absl::Duration kStopGrace = absl::Seconds(2);
constexpr uint32_t kSpareStreams = 64;
constexpr int kMostIdleMs = 300'000;  // heartbeats keep a worker's connections longer
constexpr int kHandshakeMs = 10'000;
constexpr absl::Duration kProbeUserTimeout = absl::Seconds(20);
constexpr uint64_t kUncountedBytes = uint64_t{1} << 30;

absl::Status CannotListen(absl::string_view flag, const std::string& address, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("cannot listen on ", address, ": ", why, " (", flag, ")"));
}

// Checks the syntax of all addresses to listen on.
absl::Status CheckAddresses(const ServerOptions& options) {
  for (const auto& [flag, address] :
       {std::pair{"--listen", &options.listen}, std::pair{"--metrics_listen", &options.metrics_listen},
        std::pair{"--health_listen", &options.health_listen}}) {
    if (address->empty() && address != &options.listen) continue;
    if (absl::Status status = CheckAddress(flag, *address, PortUse::kListen); !status.ok()) return status;
  }
  const absl::StatusOr<HostPort> listen = ParseHostPort(options.listen, PortUse::kListen);
  if (!listen.ok()) return absl::OkStatus();  // a unix socket
  if (const std::string warning = LoopbackWarning(*listen); !warning.empty()) {
    spdlog::warn("event=listens_on_loopback reason=\"{}\"", warning);
  }
  return absl::OkStatus();
}

}  // namespace

Server::Server(const ServerOptions& options)
    : metrics_(std::make_unique<ServerMetrics>(options.shard.shard, options.shard.worker_count)),
      refusals_(metrics_->registry().get(), std::to_string(options.shard.shard)),
      grpc_refusals_(std::make_unique<GrpcRefusals>([this](GrpcRefusal what, absl::string_view reason) {
        what == GrpcRefusal::kCompressed ? refusals_.NoteCompressed(reason) : refusals_.NoteHandshake(reason);
      })),
      limits_(options.limits, metrics_->registry().get(), std::to_string(options.shard.shard), &refusals_),
      certificate_expiry_(options.security, metrics_->registry().get(), std::to_string(options.shard.shard)),
      shard_(std::make_unique<Shard>(options.shard, metrics_.get())),
      on_finished_(options.on_finished),
      on_not_begun_(options.on_not_begun) {
  metrics_->staleness_bound.Set(
      static_cast<double>(StalenessBound(options.shard.consistency, options.shard.worker_count)));
}

absl::Status Server::Listen(const ServerOptions& options) {
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = MakeServerCredentials(options.security);
  if (!credentials.ok()) return credentials.status();
  static std::once_flag plugins;
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  grpc::ServerBuilder builder;
  builder.RegisterService(service_.get());
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  for (const ChannelArgument& argument : kTransportArguments) builder.AddChannelArgument(argument.name, argument.value);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is an error, not a shared one
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Makes clients show their certificates again some time; calls under way are not affected.
  builder.AddChannelArgument(
      GRPC_ARG_MAX_CONNECTION_AGE_MS,
      static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(options.max_connection_age), INT32_MAX)));
  // Detects peers that do not read or have vanished, since their calls and answers hold memory.
  const int keepalive_ms = static_cast<int>(absl::ToInt64Milliseconds(options.keepalive));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_ms);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_ms);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // More calls than our own limit, which refuses with a reason; gRPC's would let calls wait, including heartbeats.
  builder.AddChannelArgument(
      GRPC_ARG_MAX_CONCURRENT_STREAMS,
      static_cast<int>(std::min<uint64_t>(options.limits.max_calls_per_peer + kSpareStreams, INT32_MAX)));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMostIdleMs);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  // What is not counted yet, because it has come in parts only: a second line, which gRPC keeps as well as it can.
  grpc::ResourceQuota quota("cddp-server");
  quota.Resize(2 * options.limits.max_inflight_bytes + kUncountedBytes);
  builder.SetResourceQuota(quota);
  absl::StatusOr<std::unique_ptr<grpc::Server>> started =
      StartGrpc(builder, "--listen", options.listen, *credentials, options.keepalive, &address_);
  if (!started.ok()) return started.status();
  grpc_ = *std::move(started);
  return options.health_listen.empty() ? absl::OkStatus() : ListenForHealth(options.health_listen);
}

absl::Status Server::ListenForHealth(const std::string& listen) {
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(1024);
  absl::StatusOr<std::unique_ptr<grpc::Server>> started = StartGrpc(
      builder, "--health_listen", listen, grpc::InsecureServerCredentials(), kProbeUserTimeout, &health_address_);
  if (!started.ok()) return started.status();
  health_ = *std::move(started);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<grpc::Server>> Server::StartGrpc(
    grpc::ServerBuilder& builder, const char* flag, const std::string& listen,
    const std::shared_ptr<grpc::ServerCredentials>& credentials, absl::Duration user_timeout, std::string* address) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(listen, PortUse::kListen);
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections;
  int port = 0;
  if (parsed.ok()) {
    absl::StatusOr<std::unique_ptr<Acceptor>> listening =
        Acceptor::Listen(*parsed, user_timeout, [this](absl::string_view peer, absl::string_view reason) {
          refusals_.Note(Refusal::kNoDescriptor, peer, reason);
        });
    if (!listening.ok()) return CannotListen(flag, listen, listening.status().message());
    acceptor = *std::move(listening);
    port = acceptor->port();
    connections = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  } else {
    builder.AddListeningPort(listen, credentials, &port);  // a unix socket
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) return CannotListen(flag, listen, "gRPC does not start (see the log)");
  *address = parsed.ok() ? HostPort{parsed->host, static_cast<uint16_t>(port)}.ToString() : listen;
  if (acceptor != nullptr) {
    acceptor->Start(std::move(connections));
    acceptors_.push_back(std::move(acceptor));
  }
  return server;
}

void Server::SetServing(bool serving) {
  for (grpc::Server* server : {grpc_.get(), health_.get()}) {
    if (server != nullptr) server->GetHealthCheckService()->SetServingStatus(serving);
  }
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  if (absl::Status status = Validate(options.shard); !status.ok()) return status;
  if (absl::Status status = Validate(options.limits); !status.ok()) return status;
  if (absl::Status status = CheckAddresses(options); !status.ok()) return status;
  std::unique_ptr<Server> server(new Server(options));
  if (absl::Status status = server->shard_->Recover(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Access>> access = Access::Create(options.security, &server->refusals_);
  if (!access.ok()) return access.status();
  if (!IsLoopback(options.listen) && !(*access)->closed() && !options.insecure) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen=", options.listen, " is open to other machines, to anybody there: ask for certificates ",
                     "(--tls_cert_file, --tls_key_file, --tls_ca_file) or tokens (--token_file), or say --insecure"));
  }
  server->access_ = *std::move(access);
  server->service_ = std::make_unique<ParameterService>(server->shard_.get(), server->metrics_.get(),
                                                        server->access_.get(), &server->limits_, &server->refusals_);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;

  if (!options.metrics_listen.empty()) {
    absl::StatusOr<std::unique_ptr<MetricsServer>> metrics_server =
        MetricsServer::Start(options.metrics_listen, server->metrics_->registry());
    if (!metrics_server.ok()) return metrics_server.status();
    server->metrics_server_ = *std::move(metrics_server);
  }
  if (absl::Status status = CheckDescriptorLimit(options.shard.worker_count); !status.ok()) return status;
  server->watcher_ = std::thread([raw = server.get()] { raw->Watch(); });
  if (!options.shard.state_dir.empty()) {
    server->keeper_ = std::thread([raw = server.get()] { raw->Keep(); });
  }
  return server;
}

Server::~Server() {
  Stop();
  if (grpc_ != nullptr) grpc_->Wait();
}

void Server::Drain(absl::Duration timeout) {
  metrics_->draining.Set(1);
  SetServing(false);
  shard_->Drain(absl::UnavailableError("the server is ending: try again at its successor"));
  if (!limits_.WaitForCalls(timeout)) {
    spdlog::warn("event=drain_timeout reason=\"calls still wait for other workers; they get Unavailable\"");
  }
  // Lets the successor start fast. If it fails, the journal has everything.
  if (const absl::Status status = shard_->WriteSnapshot(); !status.ok()) {
    spdlog::warn("event=snapshot_failed reason=\"{}\"", std::string(status.message()));
  }
}

void Server::Stop() {
  std::call_once(stop_once_, [this] {
    stopping_.Notify();
    if (watcher_.joinable()) watcher_.join();
    if (keeper_.joinable()) keeper_.join();
    if (grpc_ == nullptr) return;
    SetServing(false);
    shard_->Close(absl::UnavailableError("the server is ending"));
    for (const auto& acceptor : acceptors_) acceptor->Stop();
    grpc_->Shutdown(DeadlineIn(kStopGrace));
    if (health_ != nullptr) health_->Shutdown(DeadlineIn(absl::ZeroDuration()));
  });
}

std::string Server::metrics_address() const { return metrics_server_ == nullptr ? "" : metrics_server_->address(); }

void Server::TellIfFinished() {
  if (on_finished_ == nullptr || !shard_->membership().AllFinished()) return;
  const absl::Status synced = shard_->Sync();
  std::exchange(on_finished_, nullptr)(synced);
}

void Server::BeginWithoutMissing() {
  const absl::StatusOr<std::vector<uint32_t>> missing = shard_->BeginWithoutMissing(MonotonicNow());
  if (!missing.ok() && on_not_begun_ != nullptr) on_not_begun_(missing.status());
  if (!missing.ok() || missing->empty()) return;
  spdlog::warn("event=begun_without ranks={} reason=\"they have not come within --start_timeout, and may still join\"",
               absl::StrJoin(*missing, ","));
}

void Server::Keep() {
  while (!stopping_.WaitFor(kKeepPeriod)) shard_->WriteDueFiles();
}

void Server::Watch() {
  absl::Time told = absl::InfinitePast();
  absl::Duration memory_returned = MonotonicNow();
  while (!stopping_.WaitFor(kWatchPeriod)) {
    TellIfFinished();
    BeginWithoutMissing();
    if (MonotonicNow() - memory_returned > kReturnMemoryPeriod) {
      ReturnFreeMemory();
      memory_returned = MonotonicNow();
    }
    for (uint32_t rank : shard_->RetireLost()) {
      spdlog::warn("event=worker_lost rank={} reason=\"silent for longer than the lease; the rest go on\"", rank);
    }
    const ShardStatus status = shard_->status();
    const absl::Time now = SteadyNow();
    certificate_expiry_.Look();
    metrics_->ShowStaleness(now);
    metrics_->view.Set(static_cast<double>(status.view));
    metrics_->min_version.Set(static_cast<double>(status.min_version));
    metrics_->max_version.Set(static_cast<double>(status.max_version));
    metrics_->log_bytes.Set(static_cast<double>(status.log_bytes));
    metrics_->journal_bytes.Set(static_cast<double>(status.journal_bytes));
    metrics_->snapshot_bytes.Set(static_cast<double>(status.snapshot_bytes));
    if (const std::string& folder = shard_->options().state_dir; !folder.empty()) {
      std::error_code error;
      const std::filesystem::space_info space = std::filesystem::space(folder, error);
      if (!error) metrics_->disk_free.Set(static_cast<double>(space.available));
    }
    int joined = 0;
    int lost = 0;
    int catching_up = 0;
    for (const Member& member : status.members) {
      catching_up += member.state == MemberState::kJoined && member.part == MemberPart::kCatchingUp;
      joined += member.state == MemberState::kJoined && !member.lost;
      lost += member.lost;
    }
    metrics_->workers_joined.Set(joined);
    metrics_->workers_lost.Set(lost);
    metrics_->workers_catching_up.Set(catching_up);
    metrics_->NoteWaitingFor(status.waiting.ranks);
    const bool open = !status.waiting.ranks.empty();
    // For comparison with the reader's wall clock.
    const absl::Time since = absl::Now() - (now - status.waiting.since);
    metrics_->waiting_since.Set(open ? absl::ToDoubleSeconds(since - absl::UnixEpoch()) : 0);
    if (open && now - status.waiting.since > kStuckAfter && now - told > kStuckAfter) {
      told = now;
      spdlog::warn(
          "event=round_waits seconds={:.0f} for_ranks={} reason=\"all others wait for these workers: they have not "
          "come yet, are slow, or hang\"",
          absl::ToDoubleSeconds(now - status.waiting.since), absl::StrJoin(status.waiting.ranks, ","));
    }
  }
}

}  // namespace cddp
