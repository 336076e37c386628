// What is behind an address that gRPC cannot talk to. gRPC tells a closed port, another protocol and a network without
// a way apart only in part, and in words of its own.

#ifndef COMMON_NET_PORT_PROBE_H_
#define COMMON_NET_PORT_PROBE_H_

#include <string>

#include "absl/time/time.h"
#include "common/net/host_port.h"

namespace cddp {

// Connects once and looks at the first bytes that come; blocks for at most about `timeout`, and as long as a name
// server takes. `tls`: will the caller speak TLS? One line for an operator, such as "nothing listens there (connection
// refused)" or "it speaks TLS: give --tls_ca_file". Empty if it looks as it should.
std::string ProbePort(const HostPort& address, bool tls, absl::Duration timeout);

// What an operator should know of a connect() that failed with this errno.
std::string WhyNoConnection(int error);

}  // namespace cddp

#endif  // COMMON_NET_PORT_PROBE_H_
