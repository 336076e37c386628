// The connection to one parameter server: its address and the gRPC stubs of the channels in use.

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
  grpc::GenericStub generic;  // for Exchange, whose messages are assembled around bytes without copies
};

// The stubs of a channel that is replaced when it fails for a while. Thread-safe.
class RenewedStubs {
 public:
  RenewedStubs(std::string address, std::shared_ptr<const ClientSecurity> security);

  // Hold the result for the duration of a call.
  std::shared_ptr<ServerStubs> get() const;

  // Notes that a call succeeded or failed. The channel is replaced by a new one, which looks the name up again, if
  // another server answered (common/transport/intended_server.h) and, with TLS, if it has failed for a while: gRPC's
  // own reconnecting may never succeed there (see ClientSecurity::NewCredentials). Calls under way keep the old
  // channel.
  void NoteSuccess();
  void NoteFailure(const absl::Status& status);

 private:
  const std::string address_;
  const std::shared_ptr<const ClientSecurity> security_;
  mutable Mutex mutex_;
  std::shared_ptr<ServerStubs> stubs_ ABSL_GUARDED_BY(mutex_);
  // The previous channel, which ends with the next renewal: a failed call drops its reference within gRPC's callback,
  // where a channel must not be destroyed (in gRPC 1.51 a call of it is still on the stack).
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

  // Sets a call's intended server (common/transport/intended_server.h) and its run. Not for Join: its answer says which
  // server it reached, and a server at a wrong position of --servers is not a mistake of the network.
  void NameIn(grpc::ClientContext* context) const {
    SetIntendedServer(context, shard_, shard_count_);
    SetCallIdentity(context, run_);
  }

  // Call it once, before any call that uses NameIn.
  void SetRun(const std::string& run) { run_ = run; }

  RenewedStubs stubs;
  // On a separate connection: behind megabytes on a slow network, a heartbeat would come too late.
  RenewedStubs heartbeat_stubs;

  // Number of the newest view that the server has reported.
  uint64_t view() const { return view_.load(std::memory_order_relaxed); }
  void NoteView(uint64_t view) { view_.store(view, std::memory_order_relaxed); }

  // The time of its last answer to a heartbeat, by MonotonicNow.
  absl::Duration heard() const { return absl::Nanoseconds(heard_.load(std::memory_order_relaxed)); }
  void NoteHeard() { heard_.store(absl::ToInt64Nanoseconds(MonotonicNow()), std::memory_order_relaxed); }

  // Logs why calls wait, at most every ten seconds, since a step's calls fail together.
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
