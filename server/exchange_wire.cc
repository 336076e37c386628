#include "server/exchange_wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <string>
#include <vector>

namespace cddp {
namespace {

using google::protobuf::io::CodedOutputStream;

// Tag and length that go before an update's bytes in the protobuf encoding.
std::string FieldHead(size_t size) {
  uint8_t head[20];
  constexpr uint32_t kLengthDelimited = 2;
  constexpr uint32_t kTag = v1::ExchangeResponse::kUpdatesFieldNumber << 3 | kLengthDelimited;
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(kTag, head);
  end = CodedOutputStream::WriteVarint64ToArray(size, end);
  return std::string(head, end);
}

grpc::Slice SharedSlice(const SharedUpdate& update) {
  auto* reference = new SharedUpdate(update);
  return grpc::Slice(
      const_cast<char*>(update->data()), update->size(),
      [](void* reference) { delete static_cast<SharedUpdate*>(reference); }, reference);
}

}  // namespace

absl::Status ParseExchangeRequest(grpc::ByteBuffer* buffer, v1::ExchangeRequest* request) {
  const grpc::Status status = grpc::SerializationTraits<v1::ExchangeRequest>::Deserialize(buffer, request);
  if (status.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError("the request is no ExchangeRequest");
}

grpc::ByteBuffer SerializeExchangeResponse(const ExchangeAnswer& answer) {
  v1::ExchangeResponse response;
  response.set_version(answer.version);
  response.set_refused(answer.refused);
  response.set_replaces(answer.replaces);
  std::vector<grpc::Slice> slices = {grpc::Slice(response.SerializeAsString())};
  for (const SharedUpdate& update : answer.updates) {
    slices.emplace_back(FieldHead(update->size()));
    slices.push_back(SharedSlice(update));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace cddp
