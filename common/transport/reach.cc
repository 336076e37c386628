#include "common/transport/reach.h"

#include "absl/strings/str_cat.h"
#include "common/net/port_probe.h"
#include "common/transport/intended_server.h"
#include "common/transport/status_marks.h"

namespace cddp {
namespace {

constexpr absl::Duration kLook = absl::Seconds(1);

}  // namespace

absl::Status Explain(const std::string& address, const ClientSecurity* security, const absl::Status& failed) {
  return ExplainPort(address, security != nullptr && security->has_tls(), failed);
}

absl::Status ExplainPort(const std::string& address, bool tls, const absl::Status& failed) {
  if (absl::IsUnimplemented(failed)) {
    return absl::Status(failed.code(), absl::StrCat("another program answers there, which does not know the calls of a "
                                                    "cddp-server: is this its port? [",
                                                    failed.message(), "]"));
  }
  const bool lost = absl::IsUnavailable(failed) || absl::IsDeadlineExceeded(failed);
  if (!lost || IsWrongServer(failed) || failed.GetPayload(kRankHeld).has_value()) return failed;
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address, PortUse::kConnect);
  if (!parsed.ok()) return failed;  // an address with one of gRPC's schemes
  const std::string why = ProbePort(*parsed, tls, kLook);
  if (why.empty()) return failed;
  return absl::Status(failed.code(), absl::StrCat(why, " [", failed.message(), "]"));
}

}  // namespace cddp
