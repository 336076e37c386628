#include "worker/cluster/rank_claim.h"

#include <grpcpp/grpcpp.h>

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/retry/retry_call.h"
#include "common/transport/call_identity.h"
#include "common/transport/deadline.h"
#include "common/transport/protocol.h"
#include "common/transport/reach.h"
#include "common/transport/status.h"
#include "worker/cluster/server_connection.h"

namespace cddp {
namespace {

uint64_t RandomNonce() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

absl::StatusOr<uint32_t> ClaimRank(const GrpcClusterOptions& options) {
  ServerConnection server(options, 0);
  v1::ClaimRankRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_worker_count(options.worker_count);
  request.set_incarnation(options.incarnation);
  request.set_nonce(RandomNonce());

  RetryOptions retry_options;
  retry_options.patience = options.server_timeout;
  Retry retry(retry_options, request.nonce());
  SystemClock clock;
  v1::ClaimRankResponse response;
  std::string told;
  const auto attempt = [&](absl::Duration timeout) {
    grpc::ClientContext context;
    SetCallIdentity(&context, /*run=*/"");
    context.set_deadline(DeadlineIn(timeout));
    return FromGrpc(server.stubs.get()->typed->ClaimRank(&context, request, &response));
  };
  const auto tell = [&](const absl::Status& failed, absl::Duration) {
    server.stubs.NoteFailure(failed);
    if (failed.message() == told) return;
    told = std::string(failed.message());
    LogInfo(absl::StrCat("event=rank_waited_for server=", server.address(), " reason=\"", told, "\""));
  };
  const absl::Status status = RetryCall(clock, retry, attempt, tell);
  if (status.ok()) {
    LogInfo(absl::StrCat("event=rank_claimed rank=", response.rank()));
    return response.rank();
  }
  const std::string named = absl::StrCat("server ", server.address(), ": ",
                                         Explain(server.address(), options.security.get(), status).message());
  if (FailureOf(status) == Failure::kPermanent) return absl::Status(status.code(), named);
  const absl::Duration waited = absl::Trunc(retry.FailingFor(clock.Now()), absl::Milliseconds(100));
  return absl::UnavailableError(absl::StrCat("no rank within ", absl::FormatDuration(waited), " (", named, ")"));
}

}  // namespace cddp
