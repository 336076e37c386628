// ExchangeRequest and ExchangeResponse as gRPC buffers: answers are put together around the published bytes, which all
// calls that wait for them share and nobody copies.

#ifndef SERVER_EXCHANGE_WIRE_H_
#define SERVER_EXCHANGE_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cddp/v1/parameter_server.pb.h"
#include "server/bucket_state.h"

namespace cddp {

// Takes the bytes of *buffer, which is empty afterwards; leaves fields out that it does not know. InvalidArgument if
// they are no ExchangeRequest, if the pushes are none or too many (memory for them is not taken then), or if their
// buckets are not in descending order.
absl::Status ParseExchangeRequest(grpc::ByteBuffer* buffer, v1::ExchangeRequest* request);

// The bytes of the ExchangeResponse. They hold references to the answers' updates.
grpc::ByteBuffer SerializeExchangeResponse(absl::Span<const ExchangeAnswer> answers);

}  // namespace cddp

#endif  // SERVER_EXCHANGE_WIRE_H_
