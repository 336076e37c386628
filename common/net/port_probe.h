// Finds out what is behind an address with which gRPC cannot communicate. gRPC itself hardly distinguishes a closed
// port, another protocol and a network without a route, and its messages are hard to understand.

#ifndef COMMON_NET_PORT_PROBE_H_
#define COMMON_NET_PORT_PROBE_H_

#include <string>

#include "absl/time/time.h"
#include "common/net/host_port.h"

namespace cddp {

// Connects once and checks the first bytes received; blocks for at most about `timeout` plus the name server's time.
// `tls`: whether the caller uses TLS. Returns one line for an operator, such as "nothing listens there (connection
// refused)" or "it speaks TLS: give --tls_ca_file". Empty if nothing is wrong.
std::string ProbePort(const HostPort& address, bool tls, absl::Duration timeout);

// What an operator should know of a connect() that failed with this errno.
std::string WhyNoConnection(int error);

}  // namespace cddp

#endif  // COMMON_NET_PORT_PROBE_H_
