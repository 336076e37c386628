// Constants of the wire contract (proto/cddp/v1/parameter_server.proto) that both sides must agree on.

#ifndef COMMON_TRANSPORT_PROTOCOL_H_
#define COMMON_TRANSPORT_PROTOCOL_H_

#include <cstdint>

#include "common/layout/parameter_layout.h"

namespace cddp {

// Raised when a message or the bytes of an update change their meaning.
inline constexpr uint32_t kProtocolVersion = 1;

// No message is larger than one dense bucket of the largest length, its header and some room for a large model's
// layout.
inline constexpr int kMaxMessageBytes = static_cast<int>(ParameterLayout::kMaxBucketElements * 4 + (1 << 20));

}  // namespace cddp

#endif  // COMMON_TRANSPORT_PROTOCOL_H_
