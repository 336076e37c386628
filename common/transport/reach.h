// The reason why a server is out of reach, for operators.

#ifndef COMMON_TRANSPORT_REACH_H_
#define COMMON_TRANSPORT_REACH_H_

#include <string>

#include "absl/status/status.h"
#include "common/transport/credentials.h"

namespace cddp {

// Explains `failed`, the status of a call to `address` (in CreateChannel's form). If the call was lost, the message
// then begins with the result of a probe of the port (common/net/port_probe.h), if it has one; or it says that the
// server there is another program. Blocks for a second or two. `security` null: plaintext.
absl::Status Explain(const std::string& address, const ClientSecurity* security, const absl::Status& failed);

// The same of a call with (`tls`) or without TLS.
absl::Status ExplainPort(const std::string& address, bool tls, const absl::Status& failed);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_REACH_H_
