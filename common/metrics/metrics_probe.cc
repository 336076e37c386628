#include "common/metrics/metrics_probe.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

constexpr char kRequest[] = "GET /metrics HTTP/1.0\r\n\r\n";

}  // namespace

absl::Status ProbeMetrics(const std::string& address, absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port == 0 || port > 65535 ||
      inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--healthcheck: '", address, "' is not an IPv4 address and a port above 0 (--metrics_listen)"));
  }
  to.sin_port = htons(static_cast<uint16_t>(port));
  const auto failed = [&](const char* what) {
    return absl::UnavailableError(absl::StrCat("metrics port ", address, ": ", what, ": ", std::strerror(errno)));
  };
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed("no socket");
  const absl::Cleanup close_it = [fd] { close(fd); };
  const timeval patience = absl::ToTimeval(timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  // Linux takes 0.0.0.0 for this machine.
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return failed("cannot connect");
  if (send(fd, kRequest, sizeof kRequest - 1, MSG_NOSIGNAL) != sizeof kRequest - 1) return failed("cannot ask");
  char head[] = "HTTP/1.x 200";
  if (recv(fd, head, sizeof head - 1, MSG_WAITALL) != sizeof head - 1) return failed("no answer");
  if (!absl::EndsWith(head, " 200")) {
    return absl::UnavailableError(absl::StrCat("metrics port ", address, " answers ", head));
  }
  return absl::OkStatus();
}

}  // namespace cddp
