#include "worker/client/rank_claim.h"

#include <grpcpp/grpcpp.h>
#include <spdlog/spdlog.h>

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/clock/monotonic.h"
#include "common/transport/backoff.h"
#include "common/transport/protocol.h"
#include "common/transport/status.h"
#include "worker/client/server_connection.h"

namespace cddp {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(5);

uint64_t RandomNonce() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

absl::StatusOr<uint32_t> ClaimRank(const ClusterClientOptions& options) {
  ServerConnection server(options.addresses.front(), options.security);
  v1::ClaimRankRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_worker_count(options.worker_count);
  request.set_incarnation(options.incarnation);
  request.set_nonce(RandomNonce());

  Backoff backoff(request.nonce());
  const absl::Duration begin = MonotonicNow();
  std::string told;
  while (true) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kDeadline));
    v1::ClaimRankResponse response;
    const grpc::Status status = server.stub.get()->ClaimRank(&context, request, &response);
    if (status.ok()) {
      spdlog::info("event=rank_claimed rank={}", response.rank());
      return response.rank();
    }
    const std::string named = absl::StrCat("server ", server.address(), ": ", status.error_message());
    if (!IsRetryable(status)) return absl::Status(FromGrpc(status).code(), named);
    server.stub.NoteFailure();
    if (status.error_message() != told) {
      told = status.error_message();
      spdlog::info("event=rank_waited_for server={} reason=\"{}\"", server.address(), told);
    }
    const absl::Duration pause = backoff.Next();
    const absl::Duration waited = MonotonicNow() - begin;
    if (waited + pause > options.server_timeout) {
      return absl::UnavailableError(absl::StrCat(
          "no rank within ", absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(100))), " (", named, ")"));
    }
    absl::SleepFor(pause);
  }
}

}  // namespace cddp
