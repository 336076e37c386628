// A client of gRPC's health service (grpc.health.v1.Health), for probes that have only our own binary.

#ifndef COMMON_TRANSPORT_HEALTHCHECK_H_
#define COMMON_TRANSPORT_HEALTHCHECK_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cddp {

// OK if the server at `address` serves. Otherwise Unavailable if it is starting or ending, or the call's error, in
// the form for ExplainPort (reach.h).
absl::Status CheckHealth(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                         absl::Duration timeout);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_HEALTHCHECK_H_
