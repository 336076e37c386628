// Converts bytes with an owner to and from gRPC's slices, without a copy.

#ifndef COMMON_TRANSPORT_SLICES_H_
#define COMMON_TRANSPORT_SLICES_H_

#include <grpcpp/support/slice.h>

#include "common/bytes/shared_bytes.h"

namespace cddp {

// The slice holds a reference to the bytes' owner until gRPC drops it, on any thread.
grpc::Slice ToSlice(SharedBytes bytes);

// The bytes hold a reference to the slice. A small slice contains its bytes itself, so that a copy is cheaper
// there.
SharedBytes FromSlice(const grpc::Slice& slice);

}  // namespace cddp

#endif  // COMMON_TRANSPORT_SLICES_H_
