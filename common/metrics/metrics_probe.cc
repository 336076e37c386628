#include "common/metrics/metrics_probe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/net/host_port.h"
#include "common/net/port_probe.h"

namespace cddp {
namespace {

constexpr char kRequest[] = "GET /metrics HTTP/1.0\r\n\r\n";
constexpr size_t kMostBytes = 1 << 20;  // no /metrics of ours is as long

// The answer's bytes up to `end`, or all that come. `*silent`: the peer said nothing for as long as the socket waits.
std::string Hear(int fd, const std::string& end, bool* silent) {
  std::string heard;
  while (heard.size() < kMostBytes && !absl::StrContains(heard, end)) {
    char piece[4096];
    const ssize_t got = recv(fd, piece, sizeof piece, 0);
    if (got < 0 && errno == EINTR) continue;
    *silent = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (got <= 0) break;
    heard.append(piece, static_cast<size_t>(got));
  }
  return heard;
}

// Empty: the answer is that of a program whose metrics begin with `prefix`.
std::string Judge(const std::string& heard, const std::string& prefix, bool silent) {
  if (heard.empty()) {
    return silent ? "it takes connections and says nothing: does the process stand still, or is it another service?"
                  : "it closes connections at once: another program's port?";
  }
  const std::string head = heard.substr(0, heard.find_first_of("\r\n"));
  if (!absl::StartsWith(head, "HTTP/1.")) return "another program answers there, and not in HTTP";
  if (!absl::StrContains(head, " 200")) return absl::StrCat("another program answers there: ", head);
  if (!absl::StrContains(heard, "\n" + prefix)) {
    return absl::StrCat("another program answers there: it has no metric ", prefix, "...");
  }
  return "";
}

}  // namespace

absl::Status ProbeMetrics(const std::string& address, const std::string& prefix, absl::Duration timeout) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address, PortUse::kConnect);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--healthcheck (--metrics_listen): ", parsed.status().message()));
  }
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(*parsed, PortUse::kConnect);
  if (!addresses.ok()) return addresses.status();
  const SocketAddress& to = addresses->front();
  const auto failed = [&](const std::string& why) {
    return absl::UnavailableError(absl::StrCat("metrics port ", address, ": ", why));
  };
  const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(absl::StrCat("no socket: ", std::strerror(errno)));
  const absl::Cleanup close_it = [fd] { close(fd); };
  const timeval patience = absl::ToTimeval(timeout);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  // Linux interprets 0.0.0.0 and :: as this machine.
  if (connect(fd, to.get(), to.length) != 0) return failed(WhyNoConnection(errno));
  if (send(fd, kRequest, sizeof kRequest - 1, MSG_NOSIGNAL) != sizeof kRequest - 1) {
    return failed(absl::StrCat("cannot ask: ", std::strerror(errno)));
  }
  bool silent = false;
  const std::string heard = Hear(fd, "\n" + prefix, &silent);
  const std::string why = Judge(heard, prefix, silent);
  return why.empty() ? absl::OkStatus() : failed(why);
}

}  // namespace cddp
