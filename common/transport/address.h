// Addresses as gRPC takes them: host:port (common/net/host_port.h), or with a scheme that gRPC knows.

#ifndef COMMON_TRANSPORT_ADDRESS_H_
#define COMMON_TRANSPORT_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/net/host_port.h"

namespace cddp {

// Splits "host:port,host:port". {N} in an address stands for 0 to N-1, so that a number that is known elsewhere is
// enough: "server-{2}.cddp:50051" is "server-0.cddp:50051,server-1.cddp:50051". InvalidArgument for an empty list, a
// repeated address, braces that are not so, or what ParseHostPort refuses. "dns:///host:port",
// "dns://SERVER/host:port", "ipv4:...", "ipv6:..." and "unix:/path" may stand for host:port.
absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view list);

// InvalidArgument, naming the flag, unless `address` is one that a server can listen on, or a client connect to.
absl::Status CheckAddress(absl::string_view flag, absl::string_view address, PortUse use);

// A list of servers in which some are "localhost" or 127.x and others are not is right on one machine only: what to say
// about it. Empty otherwise.
std::string LoopbackAmongOthers(const std::vector<std::string>& addresses);

// "127.0.0.1" of "127.0.0.1:50051".
std::string HostOf(absl::string_view address);

// Can only processes of this machine reach a server that listens there? (127.x.x.x, localhost, ::1, a unix socket)
bool IsLoopback(absl::string_view address);

// Where a process of the same machine reaches a server that listens there: "0.0.0.0:50051" gives "127.0.0.1:50051".
std::string LocalAddressOf(absl::string_view listen);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_ADDRESS_H_
