#include "common/metrics/metrics_probe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/net/host_port.h"
#include "common/net/port_probe.h"
#include "common/net/talk.h"

namespace cddp {
namespace {

constexpr char kRequest[] = "GET /metrics HTTP/1.0\r\n\r\n";
constexpr size_t kMostBytes = 1 << 20;  // no /metrics of ours is as long

// Empty: the answer is that of a program whose metrics begin with `prefix`.
std::string Judge(const Heard& answer, const std::string& prefix) {
  const std::string& heard = answer.bytes;
  if (heard.empty()) {
    return answer.closed
               ? "it closes connections at once: another program's port?"
               : "it takes connections and says nothing: does the process stand still, or is it another service?";
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
  const int fd = socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed(absl::StrCat("no socket: ", std::strerror(errno)));
  const absl::Cleanup close_it = [fd] { close(fd); };
  const auto soon = [timeout] { return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout); };
  // Linux interprets 0.0.0.0 and :: as this machine.
  if (const int error = Connect(fd, to, soon()); error != 0) return failed(WhyNoConnection(error));
  const std::string wanted = "\n" + prefix;
  const auto enough = [&wanted](const std::string& bytes) {
    return bytes.size() >= kMostBytes || absl::StrContains(bytes, wanted);
  };
  const std::string why = Judge(Talk(fd, kRequest, enough, soon()), prefix);
  return why.empty() ? absl::OkStatus() : failed(why);
}

}  // namespace cddp
