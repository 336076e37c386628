// The way to one parameter server: its address and the gRPC stubs of the channels in use.

#ifndef WORKER_CLUSTER_SERVER_CONNECTION_H_
#define WORKER_CLUSTER_SERVER_CONNECTION_H_

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/clock/monotonic.h"
#include "common/sync/mutex.h"
#include "common/transport/call_identity.h"
#include "common/transport/credentials.h"
#include "common/transport/intended_server.h"
#include "worker/cluster/grpc_cluster_options.h"

namespace cddp {

// Both kinds of stub of one channel. Thread-safe.
struct ServerStubs {
  explicit ServerStubs(const std::shared_ptr<grpc::Channel>& channel)
      : typed(v1::ParameterServer::NewStub(channel)), generic(channel) {}

  std::unique_ptr<v1::ParameterServer::Stub> typed;
  grpc::GenericStub generic;  // for Exchange, whose messages are put together around bytes that nobody copies
};

// The stubs of a channel that is replaced when it fails for long. Thread-safe.
class RenewedStubs {
 public:
  RenewedStubs(std::string address, std::shared_ptr<const ClientSecurity> security);

  // To be held for as long as a call lasts.
  std::shared_ptr<ServerStubs> get() const;

  // A call did, or did not, get through. The channel is replaced by a new one, which looks the name up again, if
  // another server answered (common/transport/intended_server.h), and, with TLS, if it has failed for a while: gRPC's
  // own reconnecting may never succeed there (see ClientSecurity::NewCredentials). Calls under way keep the old one.
  void NoteSuccess();
  void NoteFailure(const absl::Status& status);

 private:
  const std::string address_;
  const std::shared_ptr<const ClientSecurity> security_;
  mutable Mutex mutex_;
  std::shared_ptr<ServerStubs> stubs_ ABSL_GUARDED_BY(mutex_);
  // The channel before, which ends with the next renewal: a call that fails drops its own reference within gRPC's
  // callback, where a channel (of gRPC 1.51, with a call of it still on the stack) must not end.
  std::shared_ptr<ServerStubs> retired_ ABSL_GUARDED_BY(mutex_);
  // By MonotonicNow.
  absl::Duration failing_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteDuration();
  absl::Duration renewed_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
};

// Thread-safe.
class ServerConnection {
 public:
  ServerConnection(const GrpcClusterOptions& options, uint32_t shard);

  const std::string& address() const { return address_; }

  // Says in a call that it is for this server (common/transport/intended_server.h), and of which run it is. A Join does
  // not: its answer tells whose it is, and one at a wrong place of --servers is no mistake of the network.
  void NameIn(grpc::ClientContext* context) const {
    SetIntendedServer(context, shard_, shard_count_);
    SetCallIdentity(context, run_);
  }

  // Once, before any call that NameIn is for.
  void SetRun(const std::string& run) { run_ = run; }

  RenewedStubs stubs;
  // Over a connection of its own: behind megabytes that a slow network still carries, a heartbeat would come too late.
  RenewedStubs heartbeat_stubs;

  // Number of the newest view that the server has told of.
  uint64_t view() const { return view_.load(std::memory_order_relaxed); }
  void NoteView(uint64_t view) { view_.store(view, std::memory_order_relaxed); }

  // When it last answered a heartbeat, by MonotonicNow.
  absl::Duration heard() const { return absl::Nanoseconds(heard_.load(std::memory_order_relaxed)); }
  void NoteHeard() { heard_.store(absl::ToInt64Nanoseconds(MonotonicNow()), std::memory_order_relaxed); }

  // Says in the log why calls wait, every ten seconds at most: a step's calls fail together.
  void TellWaiting(absl::string_view reason);

 private:
  const std::string address_;
  const uint32_t shard_;
  const uint32_t shard_count_;
  std::string run_;
  std::atomic<uint64_t> view_{0};
  std::atomic<int64_t> heard_{std::numeric_limits<int64_t>::min()};
  Mutex mutex_;
  absl::Duration told_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();  // by MonotonicNow
};

}  // namespace cddp

#endif  // WORKER_CLUSTER_SERVER_CONNECTION_H_
