#include "common/net/port_probe.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/net/talk.h"

namespace cddp {
namespace {

using std::chrono::steady_clock;

// The start of HTTP/2, with empty settings: a gRPC server in plaintext answers with its own settings.
constexpr absl::string_view kHttp2Begin("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 24 + 9);
// Not a TLS handshake: a TLS server answers with an alert or closes, an HTTP/1 server answers with a status line.
constexpr absl::string_view kHttp1Request = "GET / HTTP/1.0\r\n\r\n";
constexpr size_t kHeadBytes = 9;  // of a frame of HTTP/2
constexpr unsigned char kSettingsFrame = 4;
constexpr unsigned char kTlsAlert = 0x15;
constexpr unsigned char kTlsHandshake = 0x16;

std::string Judge(const Heard& heard, bool tls) {
  const auto byte = [&heard](size_t i) { return static_cast<unsigned char>(heard.bytes[i]); };
  // Some servers answer the start of HTTP/2 in HTTP/0.9, which has no status line.
  if (absl::StartsWith(heard.bytes, "HTTP/1.") || absl::StartsWithIgnoreCase(heard.bytes, "<!doctype") ||
      absl::StartsWithIgnoreCase(heard.bytes, "<html")) {
    return "it is an HTTP server and no cddp-server: is this the port of /metrics, or another service's?";
  }
  const bool is_tls = !heard.bytes.empty() && (byte(0) == kTlsAlert || byte(0) == kTlsHandshake);
  const bool is_http2 = heard.bytes.size() >= 4 && byte(3) == kSettingsFrame;
  if (!tls && is_tls) return "it speaks TLS, and we do not: give --tls_ca_file (and what else the server requires)";
  if (tls && is_http2)
    return "it speaks plaintext, and we speak TLS: leave the --tls_* flags out, or give the server some";
  if (is_tls || is_http2) return "";
  if (!heard.bytes.empty()) return "it is no cddp-server: it speaks another protocol";
  // gRPC's TLS servers close a connection that begins in plaintext, without an alert.
  if (heard.closed && !tls) return "it closes connections at once: does it speak TLS (--tls_ca_file), or is it full?";
  if (!heard.closed)
    return "it accepts connections but sends nothing: is the process stopped, or is it another service?";
  return "";
}

}  // namespace

std::string WhyNoConnection(int error) {
  switch (error) {
    case ECONNREFUSED:
      return "nothing listens there (connection refused): is the server running, and is this its port?";
    case ENETUNREACH:
    case EHOSTUNREACH:
      return "the network has no route there: is the address right, and is the machine up?";
    case ETIMEDOUT:
      return "nothing answers there: is the address right, or does a firewall drop the packets?";
    default:
      return absl::StrCat("cannot connect: ", std::strerror(error));
  }
}

std::string ProbePort(const HostPort& address, bool tls, absl::Duration timeout) {
  const steady_clock::time_point end = steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(address, PortUse::kConnect);
  if (!addresses.ok()) return std::string(addresses.status().message());
  std::string why;
  for (const SocketAddress& one : *addresses) {
    const int fd = socket(one.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return "";
    const absl::Cleanup close_it = [fd] { close(fd); };
    const int error = Connect(fd, one, end);
    if (error == 0) {
      const auto has_head = [](const std::string& bytes) { return bytes.size() >= kHeadBytes; };
      return Judge(Talk(fd, tls ? kHttp1Request : kHttp2Begin, has_head, end), tls);
    }
    why = WhyNoConnection(error);
  }
  return why;
}

}  // namespace cddp
