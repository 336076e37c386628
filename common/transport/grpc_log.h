// gRPC's own log lines, in our form; and the refusals by gRPC itself, which it reports only there.

#ifndef COMMON_TRANSPORT_GRPC_LOG_H_
#define COMMON_TRANSPORT_GRPC_LOG_H_

#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// Sends gRPC's errors to spdlog from now on. Idempotent.
void CaptureGrpcLog();

enum class GrpcRefusal {
  kHandshake,   // a TLS handshake failed
  kCompressed,  // gRPC compressed a call's messages, which we do not allow (channel_arguments.h)
};

// While it lives, `listener` gets the reason of every refusal of this process ("peer did not return a certificate"),
// from any thread. gRPC 1.51 does not report the peer. Calls CaptureGrpcLog().
class GrpcRefusals {
 public:
  using Listener = std::function<void(GrpcRefusal what, absl::string_view reason)>;
  explicit GrpcRefusals(Listener listener);
  ~GrpcRefusals();
  GrpcRefusals(const GrpcRefusals&) = delete;
  GrpcRefusals& operator=(const GrpcRefusals&) = delete;

 private:
  const Listener listener_;
  friend void TellGrpcRefusal(GrpcRefusal what, absl::string_view reason);
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_GRPC_LOG_H_
