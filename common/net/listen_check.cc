#include "common/net/listen_check.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

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

// 0, or the error of a system call.
int TryToBind(const SocketAddress& address) {
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));  // as servers do: connections that ended do not matter
  const int error = bind(fd, address.get(), address.length) != 0 ? errno : 0;
  close(fd);
  return error;
}

}  // namespace

absl::Status CheckListen(const HostPort& address) {
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(address, PortUse::kListen);
  if (!addresses.ok()) return addresses.status();
  for (const SocketAddress& one : *addresses) {
    if (const int error = TryToBind(one); error != 0) {
      return absl::InvalidArgumentError(Reason(error, address.port));
    }
  }
  return absl::OkStatus();
}

}  // namespace cddp
