// host:port addresses.

#ifndef COMMON_TRANSPORT_ADDRESS_H_
#define COMMON_TRANSPORT_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp {

// Splits "host:port,host:port". {N} in an address stands for 0 to N-1, so that a number that is known elsewhere is
// enough: "server-{2}.cddp:50051" is "server-0.cddp:50051,server-1.cddp:50051". InvalidArgument for an empty list, a
// missing port, a repeated address or braces that are not so. Scheme prefixes that gRPC knows ("dns:///host:port",
// "unix:/path") pass as they are.
absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view list);

// "127.0.0.1" of "127.0.0.1:50051".
std::string HostOf(absl::string_view address);

// Can only processes of this machine reach a server that listens there? (127.x.x.x, localhost, ::1, a unix socket)
bool IsLoopback(absl::string_view address);

// Where a process of the same machine reaches a server that listens there: "0.0.0.0:50051" gives "127.0.0.1:50051".
std::string LocalAddressOf(absl::string_view listen);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_ADDRESS_H_
