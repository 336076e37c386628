// absl::Status and grpc::Status have the same codes; these carry code and message across, and status_marks.h's.

#ifndef COMMON_TRANSPORT_STATUS_H_
#define COMMON_TRANSPORT_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "common/transport/status_marks.h"

namespace cddp {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// Whether the server had no room for the call (server/limits.h).
bool IsBusy(const grpc::Status& status);

// Whether the same call may succeed later, unchanged (connection lost, server starting, ending or busy, deadline).
bool IsRetryable(const grpc::Status& status);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_STATUS_H_
