// A running server: shard, gRPC service with health and reflection, and the metrics port. main() and tests start it
// alike.

#ifndef SERVER_SERVER_H_
#define SERVER_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock/end_signal.h"
#include "common/transport/grpc_log.h"
#include "server/acceptor.h"
#include "server/access.h"
#include "server/certificate_expiry.h"
#include "server/limits.h"
#include "server/shard.h"

namespace cddp {

class MetricsServer;
class ParameterService;

struct ServerOptions {
  std::string listen = "127.0.0.1:0";          // host:port; port 0: any free one
  std::string metrics_listen = "127.0.0.1:0";  // likewise; empty: no metrics port
  SecurityOptions security;
  bool insecure = false;                               // listen beyond this machine without authentication
  std::string health_listen;                           // a port of its own for health checks, in plaintext; empty: none
  absl::Duration max_connection_age = absl::Hours(1);  // after this time clients are asked to reconnect
  // A connection that is silent for this long is pinged, and closed if no answer comes within the same time.
  absl::Duration keepalive = absl::Seconds(20);
  LimitOptions limits;
  // Called once, by a thread of the server's, when every worker has left as finished, in this process or as its journal
  // says; with the journal's error if that is not all on the disk. It must not wait for the server to end.
  std::function<void(const absl::Status& synced)> on_finished;
  // Called once, by a thread of the server's, if the training does not begin (Shard::BeginWithoutMissing); likewise.
  std::function<void(const absl::Status& why)> on_not_begun;
  ShardOptions shard;
};

// Thread-safe.
class Server {
 public:
  // Listens when it returns. InvalidArgument, naming flag and address, for options that make no sense or a port that is
  // taken.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);

  // From now on health checks report NOT_SERVING. Rounds under way are completed, with the calls that they need; calls
  // that begin anything new are answered with Unavailable, for workers to try again at the server's successor. Returns
  // when no call waits any more, or after `timeout`; then Stop().
  void Drain(absl::Duration timeout);

  // Stop(), then waits for the calls to end.
  ~Server();

  // Answers waiting and later calls with Unavailable, ends the listener within a few seconds; what was journalled is
  // durable then. May be called twice.
  void Stop();

  const std::string& address() const { return address_; }
  std::string metrics_address() const;
  const std::string& health_address() const { return health_address_; }  // empty: no port of its own
  const Refusals& refusals() const { return refusals_; }
  const Limits& limits() const { return limits_; }
  prometheus::Registry& metrics() const { return *metrics_->registry(); }
  Shard& shard() { return *shard_; }

 private:
  explicit Server(const ServerOptions& options);
  absl::Status Listen(const ServerOptions& options);
  // Starts the server of `builder` at `listen`; its bound address goes to *address.
  absl::StatusOr<std::unique_ptr<grpc::Server>> StartGrpc(grpc::ServerBuilder& builder, const char* flag,
                                                          const std::string& listen,
                                                          const std::shared_ptr<grpc::ServerCredentials>& credentials,
                                                          absl::Duration user_timeout, std::string* address);
  absl::Status ListenForHealth(const std::string& listen);
  void SetServing(bool serving);
  // Updates gauges, retires lost workers, logs which workers a stuck round waits for, returns free memory.
  void Watch();
  void TellIfFinished();
  void BeginWithoutMissing();
  // Writes snapshots and checkpoints.
  void Keep();

  std::unique_ptr<ServerMetrics> metrics_;
  Refusals refusals_;
  std::unique_ptr<GrpcRefusals> grpc_refusals_;
  Limits limits_;
  CertificateExpiry certificate_expiry_;  // the watcher's, once it runs
  std::unique_ptr<Access> access_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<ParameterService> service_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<grpc::Server> health_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // of both
  std::unique_ptr<MetricsServer> metrics_server_;
  std::string address_;
  std::string health_address_;
  std::function<void(const absl::Status&)> on_finished_;   // the watcher's
  std::function<void(const absl::Status&)> on_not_begun_;  // likewise
  std::once_flag stop_once_;
  EndSignal stopping_;
  std::thread watcher_;
  std::thread keeper_;  // only with --state_dir
};

}  // namespace cddp

#endif  // SERVER_SERVER_H_
