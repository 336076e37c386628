#include "common/transport/status.h"

#include <string>

namespace cddp {

namespace {

constexpr const char* kMarks[] = {kWrongServer, kRankHeld};

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  std::string details;
  for (const char* mark : kMarks) {
    if (status.GetPayload(mark).has_value()) details = mark;
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()), details);
}

absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status same(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  for (const char* mark : kMarks) {
    if (status.error_details() == mark) same.SetPayload(mark, absl::Cord());
  }
  return same;
}

bool IsBusy(const grpc::Status& status) { return status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED; }

bool IsRetryable(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:  // a server ends calls in this way that arrive while it closes its port
      return true;
    default:
      return IsBusy(status);
  }
}

}  // namespace cddp
