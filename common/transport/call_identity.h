// The metadata of every call of a worker: the protocol that it speaks, and the run in which it takes part. Between two
// calls a server may be replaced by one of another release or one that has lost its state, which no connection shows.
// Operators' calls have no protocol; those that make or read a checkpoint name the run that was queried before.

#ifndef COMMON_TRANSPORT_CALL_IDENTITY_H_
#define COMMON_TRANSPORT_CALL_IDENTITY_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

inline constexpr char kProtocolKey[] = "cddp-protocol";  // kProtocolVersion as decimal digits
inline constexpr char kRunKey[] = "cddp-run";            // the run's name (common/agreement/run_identity.h)

using CallMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// Call it once per context, before the call begins. An empty `run` is not known yet and not sent.
void SetCallIdentity(grpc::ClientContext* context, const std::string& run);

// Sets only the run.
void SetCallRun(grpc::ClientContext* context, const std::string& run);

// OK if the call speaks this release's protocol, or has no version. InvalidArgument otherwise.
absl::Status CheckProtocol(const CallMetadata& metadata);

// The call's run; empty if it has none.
absl::string_view RunOf(const CallMetadata& metadata);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CALL_IDENTITY_H_
