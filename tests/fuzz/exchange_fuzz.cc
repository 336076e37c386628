// Any bytes as an ExchangeRequest or ExchangeResponse, in any slices: what our parsers take, protobuf's takes too, with
// the same fields.
// Input: bytes in a slice less one (6 bits), is it a response (1 bit); then the message.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cddp/v1/parameter_server.pb.h"
#include "common/transport/exchange_wire.h"
#include "common/transport/protocol.h"
#include "tests/fuzz/check.h"

namespace {

// In slices of `step` bytes, so that fields begin in one and end in another.
grpc::ByteBuffer BufferOf(const uint8_t* data, size_t size, size_t step) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < size; at += step) slices.emplace_back(data + at, std::min(step, size - at));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void CheckEqual(const cddp::PushRequest& ours, const cddp::v1::ExchangeRequest& theirs) {
  Check(ours.rank == theirs.worker().rank());
  Check(ours.incarnation == theirs.worker().incarnation());
  Check(ours.view == theirs.view());
  Check(static_cast<int>(ours.pushes.size()) == theirs.pushes_size());
  for (size_t i = 0; i < ours.pushes.size(); ++i) {
    const cddp::Push& push = ours.pushes[i];
    const cddp::v1::BucketPush& other = theirs.pushes(static_cast<int>(i));
    Check(push.bucket == other.bucket() && push.step == other.step() && push.base_version == other.base_version());
    Check(push.update.view() == other.update() && push.non_finite == other.non_finite());
    Check(push.replica_crc32c.has_value() == other.has_replica_crc32c());
    Check(push.replica_crc32c.value_or(0) == other.replica_crc32c());
    Check(push.weight.has_value() == other.has_weight());
    Check(i == 0 || ours.pushes[i - 1].bucket > push.bucket);
  }
}

void CheckEqual(const std::vector<cddp::PushReply>& ours, const cddp::v1::ExchangeResponse& theirs) {
  Check(static_cast<int>(ours.size()) == theirs.answers_size());
  for (size_t i = 0; i < ours.size(); ++i) {
    const cddp::PushReply& reply = ours[i];
    const cddp::v1::BucketAnswer& other = theirs.answers(static_cast<int>(i));
    Check(reply.version == other.version() && reply.refused == other.refused() && reply.replaces == other.replaces());
    Check(static_cast<int>(reply.updates.size()) == other.updates_size());
    for (size_t k = 0; k < reply.updates.size(); ++k) {
      Check(reply.updates[k].view() == other.updates(static_cast<int>(k)));
    }
  }
}

void TakeRequest(const uint8_t* data, size_t size, size_t step) {
  grpc::ByteBuffer buffer = BufferOf(data, size, step);
  const absl::StatusOr<cddp::PushRequest> request = cddp::ParseExchangeRequest(&buffer);
  if (!request.ok()) return;
  Check(!request->pushes.empty() && request->pushes.size() <= cddp::kMostPushes);
  cddp::v1::ExchangeRequest other;
  Check(other.ParseFromArray(data, static_cast<int>(size)));
  CheckEqual(*request, other);
  grpc::ByteBuffer again = cddp::SerializeExchangeRequest(*request);
  Check(cddp::ParseExchangeRequest(&again).ok());
}

void TakeResponse(const uint8_t* data, size_t size, size_t step) {
  cddp::v1::ExchangeResponse other;
  const bool taken = other.ParseFromArray(data, static_cast<int>(size));
  const auto pushes = static_cast<size_t>(taken ? other.answers_size() : 1);
  grpc::ByteBuffer buffer = BufferOf(data, size, step);
  const absl::StatusOr<std::vector<cddp::PushReply>> replies = cddp::ParseExchangeResponse(&buffer, pushes);
  if (!replies.ok()) return;
  Check(taken);
  CheckEqual(*replies, other);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t step = 1 + data[0] % 64;
  (data[0] & 64) == 0 ? TakeRequest(data + 1, size - 1, step) : TakeResponse(data + 1, size - 1, step);
  return 0;
}
