#include "common/net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

constexpr int kBacklog = 4096;  // the kernel's own limit may be lower
constexpr int kPortAttempts = 16;

std::string Reason(int error, uint16_t port) {
  switch (error) {
    case EADDRINUSE:
      return "another process listens on this port";
    case EADDRNOTAVAIL:
      return "no network interface of this machine has this address";
    case EACCES:
      return absl::StrCat("port ", port, " needs root, or the capability CAP_NET_BIND_SERVICE: take one above 1023");
    case EAFNOSUPPORT:
      return "this machine has no IPv6";
    default:
      return std::strerror(error);
  }
}

void SetPort(uint16_t port, SocketAddress* address) {  // sin6_port lies where sin_port does
  reinterpret_cast<sockaddr_in*>(&address->storage)->sin_port = htons(port);
}

uint16_t PortOf(int fd) {
  SocketAddress bound;
  bound.length = sizeof(bound.storage);
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.length);
  return ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
}

// A bound socket, or -1 and errno.
int Bind(const SocketAddress& address) {
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  const int on = 1;
  const int off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // ended connections do not block the port
  if (address.family() == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (bind(fd, address.get(), address.length) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// Both wildcards mean all addresses of this machine; an IPv6 socket accepts IPv4 as well.
HostPort WithoutFamily(const HostPort& address) {
  if (address.host != "0.0.0.0" && address.host != "::") return address;
  const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return {"0.0.0.0", address.port};
  close(probe);
  return {"::", address.port};
}

// All addresses at `port`, or at the port that the first gets. False if one is in use, or fails otherwise: *error.
bool BindOnce(absl::Span<const SocketAddress> addresses, uint16_t port,
              absl::FunctionRef<int(const SocketAddress&)> bind, ListenSockets* sockets, int* error) {
  *sockets = {};
  sockets->port = port;
  *error = 0;
  for (SocketAddress one : addresses) {
    SetPort(sockets->port, &one);
    const int fd = bind(one);
    if (fd >= 0) {
      sockets->fds.push_back(fd);
      sockets->port = PortOf(fd);
      continue;
    }
    *error = errno;
    // A name may have an address of a family that this machine does not use.
    if (*error != EADDRNOTAVAIL && *error != EAFNOSUPPORT) break;
  }
  const bool skipped = *error == 0 || *error == EADDRNOTAVAIL || *error == EAFNOSUPPORT;
  if (skipped && !sockets->fds.empty()) return true;
  for (const int fd : sockets->fds) close(fd);
  return false;
}

}  // namespace

absl::StatusOr<ListenSockets> BindAll(absl::Span<const SocketAddress> addresses, uint16_t port,
                                      absl::FunctionRef<int(const SocketAddress&)> bind) {
  ListenSockets sockets;
  int error = 0;
  for (int attempt = 1; !BindOnce(addresses, port, bind, &sockets, &error); ++attempt) {
    if (error != EADDRINUSE || port != 0 || attempt == kPortAttempts) {
      return absl::InvalidArgumentError(Reason(error, port));
    }
  }
  return sockets;
}

absl::StatusOr<ListenSockets> ListenOn(const HostPort& address) {
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(WithoutFamily(address), PortUse::kListen);
  if (!addresses.ok()) return addresses.status();
  absl::StatusOr<ListenSockets> sockets = BindAll(*addresses, address.port, Bind);
  if (!sockets.ok()) return sockets;
  for (const int fd : sockets->fds) {
    if (listen(fd, kBacklog) == 0) continue;
    const int error = errno;
    for (const int one : sockets->fds) close(one);
    return absl::InvalidArgumentError(Reason(error, sockets->port));
  }
  return sockets;
}

}  // namespace cddp
