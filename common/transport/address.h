// host:port addresses.

#ifndef COMMON_TRANSPORT_ADDRESS_H_
#define COMMON_TRANSPORT_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp {

// Splits "host:port,host:port". InvalidArgument for an empty list, a missing port or a repeated address. Scheme
// prefixes that gRPC knows ("dns:///host:port", "unix:/path") pass as they are.
absl::StatusOr<std::vector<std::string>> ParseAddresses(absl::string_view list);

// "127.0.0.1" of "127.0.0.1:50051".
std::string HostOf(absl::string_view address);

// Can only processes of this machine reach a server that listens there? (127.x.x.x, localhost, ::1, a unix socket)
bool IsLoopback(absl::string_view address);

// Where a process of the same machine reaches a server that listens there: "0.0.0.0:50051" gives "127.0.0.1:50051".
std::string LocalAddressOf(absl::string_view listen);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_ADDRESS_H_
