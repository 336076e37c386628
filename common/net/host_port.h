// host:port, as in all our flags, and the socket addresses behind it.

#ifndef COMMON_NET_HOST_PORT_H_
#define COMMON_NET_HOST_PORT_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp {

struct HostPort {
  std::string host;  // a name, an IPv4 address, or an IPv6 address without its brackets
  uint16_t port = 0;

  std::string ToString() const;  // with brackets around an IPv6 address
};

// A port to listen on may be 0: any free one. A port to connect to may not.
enum class PortUse { kListen, kConnect };

// "host:port", "1.2.3.4:port" or "[::1]:port". InvalidArgument that says what is wrong (no port, no host, a scheme, an
// IPv6 address without brackets, a port out of range) and what to write instead.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text, PortUse use);

// An address of a host, to bind or to connect to.
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;

  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  std::string ToString() const;  // "127.0.0.1:1", "[::1]:1"
};

// Looks the host up (this may take as long as a name server does). InvalidArgument, naming the host, if it has no
// address. At least one address otherwise, in the system's order of preference.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& address, PortUse use);

// Whether it is 127.x.x.x, ::1, or an IPv4 loopback address as IPv6.
bool IsLoopback(const SocketAddress& address);

// Whether the host is written as a number rather than a name.
bool IsNumericHost(absl::string_view host);

// A warning about a host name that leads only to this machine, where other machines may be meant: Debian's installer
// gives the machine's own name the address 127.0.1.1, and no other machine reaches a server that listens there. Empty
// if the name is "localhost", if the host is a number, or if the name leads elsewhere or nowhere.
std::string LoopbackWarning(const HostPort& address);

}  // namespace cddp

#endif  // COMMON_NET_HOST_PORT_H_
