// Listening sockets, with errors in one line. Libraries' errors have less information, or 700 characters.

#ifndef COMMON_NET_LISTEN_H_
#define COMMON_NET_LISTEN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
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

}  // namespace cddp

#endif  // COMMON_NET_LISTEN_H_
