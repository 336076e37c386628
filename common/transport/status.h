// absl::Status and grpc::Status have the same codes; these carry code and message across, and what kWrongServer marks.

#ifndef COMMON_TRANSPORT_STATUS_H_
#define COMMON_TRANSPORT_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace cddp {

// Payload of a status that intended_server.h made; the details of the gRPC status.
inline constexpr char kWrongServer[] = "cddp.v1/wrong_server";

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// Did the server have no room for the call (server/limits.h)?
bool IsBusy(const grpc::Status& status);

// May the same call succeed later, unchanged? (connection lost, server starting, ending or busy, deadline)
bool IsRetryable(const grpc::Status& status);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_STATUS_H_
