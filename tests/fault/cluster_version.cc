#include "tests/fault/cluster_version.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "cddp/v1/parameter_server.grpc.pb.h"

namespace cddp {

std::pair<uint64_t, uint64_t> VersionsOf(const std::string& address) {
  const auto stub = v1::ParameterServer::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  v1::StatusResponse status;
  if (!stub->Status(&context, {}, &status).ok()) return {0, 0};
  return {status.min_version(), status.max_version()};
}

}  // namespace cddp
