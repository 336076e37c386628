// What every call of a worker says of itself, in metadata: the protocol it speaks, and the run it takes part in. A
// server may have been replaced between two calls, by one of another release or one that has lost its state, and no
// connection tells. Operators' calls say no protocol; those that make or read a checkpoint say which run was looked at.

#ifndef COMMON_TRANSPORT_CALL_IDENTITY_H_
#define COMMON_TRANSPORT_CALL_IDENTITY_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/string_ref.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

inline constexpr char kProtocolKey[] = "cddp-protocol";  // kProtocolVersion in decimals
inline constexpr char kRunKey[] = "cddp-run";            // the run's name (common/agreement/run_identity.h)

using CallMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

// Once a context, before the call begins. `run` empty: not known yet, and not said.
void SetCallIdentity(grpc::ClientContext* context, const std::string& run);

// Of these the run alone.
void SetCallRun(grpc::ClientContext* context, const std::string& run);

// OK if the call speaks this release's protocol, or does not say which. InvalidArgument otherwise.
absl::Status CheckProtocol(const CallMetadata& metadata);

// Empty: the call does not say.
absl::string_view RunOf(const CallMetadata& metadata);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CALL_IDENTITY_H_
