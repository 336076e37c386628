// ExchangeRequest and ExchangeResponse (proto/cddp/v1/parameter_server.proto) as gRPC's buffers, for workers and
// servers. Updates are written without a copy. Received messages are parsed by hand: protobuf's generated classes
// would copy and check them once more.

#ifndef COMMON_TRANSPORT_EXCHANGE_WIRE_H_
#define COMMON_TRANSPORT_EXCHANGE_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/bytes/shared_bytes.h"
#include "common/transport/exchange_message.h"

namespace cddp {

// The smallest update that is not copied if it lies in one slice. An update without a copy keeps the whole memory that
// its slice is part of, whose size a slice does not tell: gRPC reads up to 64 KiB into one piece. With this bound the
// memory held is at most about twice the bytes counted, and a copy of a smaller update is cheap.
inline constexpr size_t kLeastSharedBytes = 32 << 10;

// The buffer may be sent several times. It refers to the updates until gRPC has dropped it.
grpc::ByteBuffer SerializeExchangeRequest(const PushRequest& request);

// Takes the bytes of *buffer, which is empty afterwards. Each update is copied once, unless it has kLeastSharedBytes
// and lies in one slice. Skips unknown fields. InvalidArgument if the bytes are no ExchangeRequest, if there are no
// pushes or more than kMostPushes (it allocates no memory for more), or if their buckets are not in descending order.
absl::StatusOr<PushRequest> ParseExchangeRequest(grpc::ByteBuffer* buffer);

// A reply whose updates the server has already assembled.
struct PackedReply {
  uint64_t version = 0;
  std::vector<SharedBytes> runs;  // each: whole `updates` fields of a v1::BucketAnswer, tags and lengths included
  bool refused = false;
  bool replaces = false;
};

// The buffer refers to the runs.
grpc::ByteBuffer SerializeExchangeResponse(absl::Span<const PackedReply> replies);

// Takes the bytes of *buffer, which is empty afterwards, as the answer to `pushes` pushes. An update that lies in
// one slice refers to it; others are copied once. Internal if it is no such answer.
absl::StatusOr<std::vector<PushReply>> ParseExchangeResponse(grpc::ByteBuffer* buffer, size_t pushes);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_EXCHANGE_WIRE_H_
