// Constants of the wire contract (proto/cddp/v1/parameter_server.proto) that both sides must agree on.

#ifndef COMMON_TRANSPORT_PROTOCOL_H_
#define COMMON_TRANSPORT_PROTOCOL_H_

#include <cstdint>

#include "common/layout/parameter_layout.h"

namespace cddp {

// Raise it when a message or the bytes of an update change their meaning.
inline constexpr uint32_t kProtocolVersion = 5;

// The largest number of pushes in one Exchange.
inline constexpr int kMostPushes = 64;

// No message is larger than one dense bucket of the largest length, headers and some room for a large model's layout.
// An Exchange has fewer pushes if the buckets' weights would not fit, since an answer may hold all of them.
inline constexpr int kMaxMessageBytes = static_cast<int>(ParameterLayout::kMaxBucketElements * 4 + (1 << 20));

// A worker sends the checksum of its replica of a bucket at every 32nd version, which differs between buckets so that
// the cost is spread over the steps.
inline constexpr uint64_t kReplicaCheckPeriod = 32;
constexpr bool ReplicaIsChecked(uint32_t bucket, uint64_t version) {
  return version != 0 && (version + bucket) % kReplicaCheckPeriod == 0;
}

}  // namespace cddp

#endif  // COMMON_TRANSPORT_PROTOCOL_H_
