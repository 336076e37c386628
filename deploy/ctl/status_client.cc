#include "deploy/ctl/status_client.h"

#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"
#include "common/transport/channel.h"
#include "common/transport/status.h"

namespace cddp::ctl {
namespace {

struct Call {
  grpc::ClientContext context;
  v1::StatusResponse response;
  grpc::Status status;
  absl::Time answered_at;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::StatusResponse>> reader;
};

}  // namespace

StatusClient::StatusClient(const std::vector<std::string>& addresses, const ClientSecurity* security)
    : addresses_(addresses) {
  for (const std::string& address : addresses) {
    stubs_.push_back(v1::ParameterServer::NewStub(CreateChannel(address, security)));
  }
}

std::vector<ServerStatus> StatusClient::Query(absl::Duration timeout) {
  grpc::CompletionQueue queue;
  std::vector<Call> calls(stubs_.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    calls[i].context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    calls[i].reader = stubs_[i]->AsyncStatus(&calls[i].context, v1::StatusRequest(), &queue);
    calls[i].reader->Finish(&calls[i].response, &calls[i].status, &calls[i]);
  }
  void* tag = nullptr;
  bool ok = false;
  for (size_t left = calls.size(); left > 0 && queue.Next(&tag, &ok); --left) {
    static_cast<Call*>(tag)->answered_at = absl::Now();
  }

  std::vector<ServerStatus> results;
  for (size_t i = 0; i < calls.size(); ++i) {
    absl::StatusOr<v1::StatusResponse> response = std::move(calls[i].response);
    if (!calls[i].status.ok()) response = FromGrpc(calls[i].status);
    results.push_back({addresses_[i], std::move(response), calls[i].answered_at});
  }
  return results;
}

}  // namespace cddp::ctl
