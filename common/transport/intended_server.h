// Which server a call is for. A name may lead elsewhere after a reconnect (several addresses behind one name, a pod's
// reused address), and no connection tells. So a call may carry the shard that it is meant for, and another server
// refuses it, before it looks at anything else.

#ifndef COMMON_TRANSPORT_INTENDED_SERVER_H_
#define COMMON_TRANSPORT_INTENDED_SERVER_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/string_ref.h>

#include <cstdint>
#include <map>

#include "absl/status/status.h"

namespace cddp {

// Metadata of a call: "SHARD/SHARDS" in decimals.
inline constexpr char kIntendedServerKey[] = "cddp-server";

// Says whom the call is for; once a context, before the call begins.
void SetIntendedServer(grpc::ClientContext* context, uint32_t shard, uint32_t shard_count);

// For the server: OK if the call is for this one, or does not say. Unavailable, and IsWrongServer, if it is for
// another: the caller should look the name up again, over a new channel, and retry. InvalidArgument if it cannot be
// read.
absl::Status CheckIntendedServer(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata, uint32_t shard,
                                 uint32_t shard_count);

// Is this CheckIntendedServer's refusal? It passes through ToGrpc and FromGrpc.
bool IsWrongServer(const absl::Status& status);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_INTENDED_SERVER_H_
