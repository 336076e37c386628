#include "deploy/ctl/status_client.h"

#include <grpcpp/grpcpp.h>

#include <thread>
#include <utility>

#include "common/clock/clock.h"
#include "common/clock/steady_time.h"
#include "common/retry/retry_call.h"
#include "common/transport/channel.h"
#include "common/transport/deadline.h"
#include "common/transport/reach.h"
#include "common/transport/status.h"

namespace cddp::ctl {
namespace {

// A tool retries as the worker does: a server may be starting, or its network may be slow or congested.
ServerStatus Ask(v1::ParameterServer::Stub& stub, const std::string& address, const ClientSecurity* security,
                 absl::Duration patience, absl::Duration timeout, uint64_t seed) {
  RetryOptions options;
  options.patience = patience;
  options.try_timeout = timeout;
  Retry retry(options, seed);
  SystemClock clock;
  v1::StatusResponse response;
  const absl::Status status = RetryCall(clock, retry, [&](absl::Duration try_timeout) {
    grpc::ClientContext context;
    const bool only_one = patience == absl::ZeroDuration();
    context.set_deadline(DeadlineIn(only_one ? timeout : try_timeout));
    return FromGrpc(stub.Status(&context, {}, &response));
  });
  if (!status.ok()) return {address, Explain(address, security, status), SteadyNow()};
  return {address, std::move(response), SteadyNow()};
}

}  // namespace

StatusClient::StatusClient(const std::vector<std::string>& addresses, const ClientSecurity* security)
    : addresses_(addresses), security_(security), away_(addresses.size()) {
  for (const std::string& address : addresses) {
    stubs_.push_back(v1::ParameterServer::NewStub(CreateChannel(address, security)));
  }
}

std::vector<ServerStatus> StatusClient::Query(absl::Duration timeout, absl::Duration patience) {
  std::vector<ServerStatus> results(stubs_.size());
  std::vector<std::thread> calls;
  for (size_t i = 0; i < stubs_.size(); ++i) {
    // A server that did not answer the last query gets no second time-out.
    const absl::Duration own_patience = away_[i] ? absl::ZeroDuration() : patience;
    calls.emplace_back(
        [&, i, own_patience] { results[i] = Ask(*stubs_[i], addresses_[i], security_, own_patience, timeout, i); });
  }
  for (std::thread& call : calls) call.join();
  for (size_t i = 0; i < stubs_.size(); ++i) away_[i] = !results[i].response.ok();
  return results;
}

}  // namespace cddp::ctl
