// ExchangeRequest and ExchangeResponse (proto/cddp/v1/parameter_server.proto) as gRPC's buffers, for workers and
// servers. Updates are written without a copy. What was received is parsed once, by hand: as generated classes a
// message would be copied and checked once more.

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

// The least update that the server does not copy, though it lies in one slice. An update keeps all of the memory that
// its slice is part of, which a slice does not tell: gRPC reads up to 64 KiB at a time into one piece. So what is held
// is never more than about twice what is counted, and a copy of less than this is cheap.
inline constexpr size_t kLeastSharedBytes = 32 << 10;

// A buffer may be sent several times. It refers to the updates until gRPC has dropped it.
grpc::ByteBuffer SerializeExchangeRequest(const PushRequest& request);

// Takes the bytes of *buffer, which is empty afterwards. Each update is copied once, but for one of kLeastSharedBytes
// that one slice holds. Skips fields that it does not know. InvalidArgument if the bytes are no ExchangeRequest, if the
// pushes are none or more than kMostPushes (memory for more is not taken), or if their buckets do not descend.
absl::StatusOr<PushRequest> ParseExchangeRequest(grpc::ByteBuffer* buffer);

// A reply whose updates have been put together by the server.
struct PackedReply {
  uint64_t version = 0;
  std::vector<SharedBytes> runs;  // each: whole `updates` fields of a v1::BucketAnswer, tags and lengths included
  bool refused = false;
  bool replaces = false;
};

// The buffer refers to the runs.
grpc::ByteBuffer SerializeExchangeResponse(absl::Span<const PackedReply> replies);

// Takes the bytes of *buffer, which is empty afterwards, as the answer to `pushes` pushes. An update that one slice
// holds refers to it, others are copied once. Internal if it is no such answer.
absl::StatusOr<std::vector<PushReply>> ParseExchangeResponse(grpc::ByteBuffer* buffer, size_t pushes);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_EXCHANGE_WIRE_H_
