// Accepts connections and passes them to gRPC.
//
// gRPC 1.51's own listener silently ends for ever when accept fails once for lack of a descriptor. This one continues:
// it accepts the next connection once there is room. It also keeps some descriptors free, so that connections never
// prevent the journal from opening its next file.

#ifndef SERVER_ACCEPTOR_H_
#define SERVER_ACCEPTOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/net/host_port.h"

namespace cddp {

// Descriptors that no connection gets: for files of the journal and of snapshots, /metrics, and what libraries open.
inline constexpr int kSpareDescriptors = 32;

// OK if this process can hold two connections of every worker, besides its present files. Otherwise InvalidArgument,
// with the limit and how to raise it.
absl::Status CheckDescriptorLimit(uint32_t workers);

// Thread-safe.
class Acceptor {
 public:
  // Gets the peer ("ipv4:10.0.0.1:4711") of every connection turned away for lack of a descriptor, and why; on the
  // acceptor's thread.
  using Refused = std::function<void(absl::string_view peer, absl::string_view reason)>;

  // Binds all addresses of the host. Connections wait in the kernel until Start. `user_timeout`: after this long
  // without an answer to what was sent, the kernel gives a connection up. InvalidArgument, in one line, if it cannot be
  // bound.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Listen(const HostPort& address, absl::Duration user_timeout,
                                                          Refused refused);
  ~Acceptor();

  // Passes connections to `grpc` from now on; its server must have been started.
  void Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc);

  // No new connections from now on; the port is free when it returns. May be called twice, by one thread at a time.
  void Stop();

  uint16_t port() const { return port_; }

 private:
  Acceptor(absl::Duration user_timeout, Refused refused) : user_timeout_(user_timeout), refused_(std::move(refused)) {}
  void Run();
  void Accept(int listener);

  const absl::Duration user_timeout_;
  const Refused refused_;
  std::vector<int> listeners_;
  uint16_t port_ = 0;
  int end_ = -1;  // an eventfd
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc_;
  std::thread thread_;
};

}  // namespace cddp

#endif  // SERVER_ACCEPTOR_H_
