// The server that a call is for. A name may lead elsewhere after a reconnect (several addresses behind one name, a
// pod's reused address), which no connection shows. So a call may carry its intended shard, and any other server
// refuses it before it checks anything else.

#ifndef COMMON_TRANSPORT_INTENDED_SERVER_H_
#define COMMON_TRANSPORT_INTENDED_SERVER_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/string_ref.h>

#include <cstdint>
#include <map>

#include "absl/status/status.h"

namespace cddp {

// Metadata of a call: "SHARD/SHARDS" as decimal digits.
inline constexpr char kIntendedServerKey[] = "cddp-server";

// Sets the intended server; call it once per context, before the call begins.
void SetIntendedServer(grpc::ClientContext* context, uint32_t shard, uint32_t shard_count);

// For the server: OK if the call is for this one, or names none. Unavailable, and IsWrongServer, if it is for another:
// the caller should look the name up again, over a new channel, and retry. InvalidArgument if the metadata cannot be
// parsed.
absl::Status CheckIntendedServer(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata, uint32_t shard,
                                 uint32_t shard_count);

// Whether this is CheckIntendedServer's refusal. ToGrpc and FromGrpc preserve that.
bool IsWrongServer(const absl::Status& status);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_INTENDED_SERVER_H_
