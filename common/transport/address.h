// Addresses in gRPC's forms: host:port (common/net/host_port.h), or with one of gRPC's schemes.

#ifndef COMMON_TRANSPORT_ADDRESS_H_
#define COMMON_TRANSPORT_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/net/host_port.h"

namespace cddp {

// Splits "host:port,host:port". {N} in an address stands for 0 to N-1, so that the number of servers suffices:
// "server-{2}.cddp:50051" is "server-0.cddp:50051,server-1.cddp:50051". InvalidArgument for an empty list, a
// repeated address, other braces, or what ParseHostPort refuses. "dns:///host:port",
// "dns://SERVER/host:port", "ipv4:...", "ipv6:..." and "unix:/path" may stand for host:port.
absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view list);

// InvalidArgument, naming the flag, unless `address` is one that a server can listen on, or a client connect to.
absl::Status CheckAddress(absl::string_view flag, absl::string_view address, PortUse use);

// A warning about a list in which some servers are "localhost" or 127.x and others are not, which is right on one
// machine only. Empty for other lists.
std::string LoopbackAmongOthers(const std::vector<std::string>& addresses);

// The host of an address: "127.0.0.1" for "127.0.0.1:50051".
std::string HostOf(absl::string_view address);

// Whether only this machine's processes can reach a server that listens there (127.x.x.x, localhost, ::1, unix socket).
bool IsLoopback(absl::string_view address);

// The address for a process on the same machine as a server that listens there: 127.0.0.1:50051 for 0.0.0.0:50051.
std::string LocalAddressOf(absl::string_view listen);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_ADDRESS_H_
