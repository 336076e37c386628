// Why a port cannot be listened on, before a library tries and says less.

#ifndef COMMON_NET_LISTEN_CHECK_H_
#define COMMON_NET_LISTEN_CHECK_H_

#include "absl/status/status.h"
#include "common/net/host_port.h"

namespace cddp {

// Binds the address for a moment. InvalidArgument that says in one line why this fails: the port is taken, the address
// is none of this machine's, it needs a right that we lack, or the name has no address. OK is no promise: another
// process may come first.
absl::Status CheckListen(const HostPort& address);

}  // namespace cddp

#endif  // COMMON_NET_LISTEN_CHECK_H_
