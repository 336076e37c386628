// Why a server is out of reach, in an operator's words.

#ifndef COMMON_TRANSPORT_REACH_H_
#define COMMON_TRANSPORT_REACH_H_

#include <string>

#include "absl/status/status.h"
#include "common/transport/credentials.h"

namespace cddp {

// A call to `address` (as CreateChannel takes it) failed with `failed`: the same status, whose message begins with what
// a look at the port says (common/net/port_probe.h), if it was lost and the look says anything, or that the server
// there is another program's. Blocks for a second or two. `security` null: plaintext.
absl::Status Explain(const std::string& address, const ClientSecurity* security, const absl::Status& failed);

// The same of a call with (`tls`) or without TLS.
absl::Status ExplainPort(const std::string& address, bool tls, const absl::Status& failed);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_REACH_H_
