#include "common/metrics/metrics_probe.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/net/host_port.h"

namespace cddp {
namespace {

constexpr char kRequest[] = "GET /metrics HTTP/1.0\r\n\r\n";

}  // namespace

absl::Status ProbeMetrics(const std::string& address, absl::Duration timeout) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address, PortUse::kConnect);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--healthcheck (--metrics_listen): ", parsed.status().message()));
  }
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(*parsed, PortUse::kConnect);
  if (!addresses.ok()) return addresses.status();
  const SocketAddress& to = addresses->front();
  const auto failed = [&](const char* what) {
    return absl::UnavailableError(absl::StrCat("metrics port ", address, ": ", what, ": ", std::strerror(errno)));
  };
  const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed("no socket");
  const absl::Cleanup close_it = [fd] { close(fd); };
  const timeval patience = absl::ToTimeval(timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  // Linux takes 0.0.0.0 and :: for this machine.
  if (connect(fd, to.get(), to.length) != 0) return failed("cannot connect");
  if (send(fd, kRequest, sizeof kRequest - 1, MSG_NOSIGNAL) != sizeof kRequest - 1) return failed("cannot ask");
  char head[] = "HTTP/1.x 200";
  if (recv(fd, head, sizeof head - 1, MSG_WAITALL) != sizeof head - 1) return failed("no answer");
  if (!absl::EndsWith(head, " 200")) {
    return absl::UnavailableError(absl::StrCat("metrics port ", address, " answers ", head));
  }
  return absl::OkStatus();
}

}  // namespace cddp
