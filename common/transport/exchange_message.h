// The messages of an Exchange, for code without gRPC and protobuf. The fields have the meaning of those in
// proto/cddp/v1/parameter_server.proto; exchange_wire.h has the bytes.

#ifndef COMMON_TRANSPORT_EXCHANGE_MESSAGE_H_
#define COMMON_TRANSPORT_EXCHANGE_MESSAGE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/bytes/shared_bytes.h"

namespace cddp {

// A worker's contribution to one step of one bucket (v1::BucketPush).
struct Push {
  uint32_t bucket = 0;
  uint64_t step = 0;
  uint64_t base_version = 0;
  SharedBytes update;  // encoded (common/codec/update_codec.h); empty: zero
  bool non_finite = false;
  std::optional<uint32_t> replica_crc32c = std::nullopt;
  std::optional<float> weight = std::nullopt;  // in the round's mean; see CheckWeight
};

// Weights are usually examples or tokens. Their products with gradients must stay far from a float's limits.
inline constexpr float kLeastWeight = 0x1p-40f;
inline constexpr float kLargestWeight = 0x1p40f;

// InvalidArgument for a weight outside of these bounds, or NaN.
inline absl::Status CheckWeight(std::optional<float> weight) {
  if (!weight.has_value() || (*weight >= kLeastWeight && *weight <= kLargestWeight)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a contribution's weight is ", *weight, ": it must be above 0, from ",
                                                 kLeastWeight, " to ", kLargestWeight,
                                                 ", such as the number of its examples"));
}

// v1::ExchangeRequest.
struct PushRequest {
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  uint64_t view = 0;
  std::vector<Push> pushes;  // in descending order of buckets
};

// The answer to one push (v1::BucketAnswer).
struct PushReply {
  uint64_t version = 0;
  std::vector<SharedBytes> updates;  // deltas, to be added one after the other
  bool refused = false;
  bool replaces = false;  // `updates` is one dense update that holds the weights themselves
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_EXCHANGE_MESSAGE_H_
