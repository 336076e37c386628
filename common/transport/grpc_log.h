// gRPC's own log lines, in our form; and the one thing that gRPC tells nobody in another way: a TLS handshake failed.

#ifndef COMMON_TRANSPORT_GRPC_LOG_H_
#define COMMON_TRANSPORT_GRPC_LOG_H_

#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// From now on gRPC's errors go to spdlog. Idempotent.
void CaptureGrpcLog();

// While it lives, `listener` gets the reason of every failed handshake of this process ("peer did not return a
// certificate"), from any thread. gRPC 1.51 does not say whose it was. Calls CaptureGrpcLog().
class HandshakeFailures {
 public:
  explicit HandshakeFailures(std::function<void(absl::string_view reason)> listener);
  ~HandshakeFailures();
  HandshakeFailures(const HandshakeFailures&) = delete;
  HandshakeFailures& operator=(const HandshakeFailures&) = delete;

 private:
  const std::function<void(absl::string_view)> listener_;
  friend void TellHandshakeFailure(absl::string_view reason);
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_GRPC_LOG_H_
