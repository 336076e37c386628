// Listening sockets, with errors in one line. Libraries' errors have less information, or 700 characters.

#ifndef COMMON_NET_LISTEN_H_
#define COMMON_NET_LISTEN_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/net/host_port.h"

namespace cddp {

// The caller closes them.
struct ListenSockets {
  std::vector<int> fds;  // non-blocking, closed on exec; one for each address of the host
  uint16_t port = 0;
};

// Listens on every address of the host, at one port; 0.0.0.0 and :: are all addresses of this machine, IPv4 and IPv6.
// InvalidArgument that says why this fails: the port is in use, the address is not this machine's, a permission
// is missing, or the name has no address.
absl::StatusOr<ListenSockets> ListenOn(const HostPort& address);

// ListenOn's sockets before they listen. `bind` returns a bound socket, or -1 and errno. For port 0 the kernel chooses
// a free port of the first address; where another process has it at a later address, other ports are tried.
absl::StatusOr<ListenSockets> BindAll(absl::Span<const SocketAddress> addresses, uint16_t port,
                                      absl::FunctionRef<int(const SocketAddress&)> bind);

}  // namespace cddp

#endif  // COMMON_NET_LISTEN_H_
