#include "common/transport/status.h"

#include <string>

namespace cddp {

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      status.GetPayload(kWrongServer).has_value() ? kWrongServer : "");
}

absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status same(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (status.error_details() == kWrongServer) same.SetPayload(kWrongServer, absl::Cord());
  return same;
}

bool IsBusy(const grpc::Status& status) { return status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED; }

bool IsRetryable(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:  // so does a server end calls that come in while it closes its port
      return true;
    default:
      return IsBusy(status);
  }
}

}  // namespace cddp
