// Asks running servers for their status.

#ifndef DEPLOY_CTL_STATUS_CLIENT_H_
#define DEPLOY_CTL_STATUS_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/transport/credentials.h"

namespace cddp::ctl {

struct ServerStatus {
  std::string address;
  absl::StatusOr<v1::StatusResponse> response = absl::UnknownError("not asked");  // or the reason for no answer
  absl::Time answered_at;
};

// Keeps a channel to each server. Not thread-safe.
class StatusClient {
 public:
  // `security` null: plaintext, no token; it must outlive the client.
  explicit StatusClient(const std::vector<std::string>& addresses, const ClientSecurity* security = nullptr);

  // Asks all servers at once. Each try may take `timeout`. A server that is out of reach is tried again for `patience`,
  // unless it did not answer the previous query either. The results are in the order of the addresses.
  std::vector<ServerStatus> Query(absl::Duration timeout, absl::Duration patience);

 private:
  std::vector<std::string> addresses_;
  const ClientSecurity* const security_;
  std::vector<bool> away_;  // servers that did not answer the last query
  std::vector<std::unique_ptr<v1::ParameterServer::Stub>> stubs_;
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_STATUS_CLIENT_H_
