#include "server/exchange_wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <climits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/transport/protobuf_field.h"
#include "common/transport/protocol.h"

namespace cddp {
namespace {

using google::protobuf::io::CodedInputStream;

// Of a field's tag in the protobuf encoding.
enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

// Skips the value that follows `tag`; false where there is none, or a group, which no message of ours has.
bool SkipValue(uint32_t tag, CodedInputStream* input) {
  uint64_t varint = 0;
  uint32_t length = 0;
  switch (tag & 7) {
    case kVarint:
      return input->ReadVarint64(&varint);
    case kFixed64:
      return input->Skip(8);
    case kFixed32:
      return input->Skip(4);
    case kLengthDelimited:
      return input->ReadVarint32(&length) && length <= INT_MAX && input->Skip(static_cast<int>(length));
    default:
      return false;
  }
}

// Pushes in a request that may be anything; nullopt if it is no message.
std::optional<int> CountPushes(grpc::ByteBuffer* buffer) {
  grpc::ProtoBufferReader reader(buffer);
  CodedInputStream input(&reader);
  int pushes = 0;
  while (const uint32_t tag = input.ReadTag()) {
    if (!SkipValue(tag, &input)) return std::nullopt;
    pushes += tag >> 3 == v1::ExchangeRequest::kPushesFieldNumber;
  }
  return input.ConsumedEntireMessage() ? std::optional(pushes) : std::nullopt;
}

grpc::Slice SharedSlice(const UpdateRun& run) {
  auto* reference = new UpdateRun(run);
  return grpc::Slice(
      const_cast<char*>(run.data.get()), run.size, [](void* reference) { delete static_cast<UpdateRun*>(reference); },
      reference);
}

}  // namespace

absl::Status ParseExchangeRequest(grpc::ByteBuffer* buffer, v1::ExchangeRequest* request) {
  const std::optional<int> pushes = CountPushes(buffer);
  if (pushes.has_value() && (*pushes == 0 || *pushes > kMostPushes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(*pushes, " pushes in one Exchange: 1 to ", kMostPushes, " are right"));
  }
  // A field with the number of pushes may be none: what is counted must be there, or nobody would answer the call.
  if (!pushes.has_value() || !grpc::SerializationTraits<v1::ExchangeRequest>::Deserialize(buffer, request).ok() ||
      request->pushes_size() != *pushes) {
    return absl::InvalidArgumentError("the request is no ExchangeRequest");
  }
  request->DiscardUnknownFields();  // they would be held, and count as nothing
  for (int i = 1; i < request->pushes_size(); ++i) {
    if (request->pushes(i).bucket() >= request->pushes(i - 1).bucket()) {
      return absl::InvalidArgumentError(absl::StrCat("bucket ", request->pushes(i).bucket(), " is pushed after bucket ",
                                                     request->pushes(i - 1).bucket(), ": they must descend"));
    }
  }
  return absl::OkStatus();
}

grpc::ByteBuffer SerializeExchangeResponse(absl::Span<const ExchangeAnswer> answers) {
  std::vector<grpc::Slice> slices;
  std::string head;  // what stands before the next run
  for (const ExchangeAnswer& answer : answers) {
    v1::BucketAnswer fields;
    fields.set_version(answer.version);
    fields.set_refused(answer.refused);
    fields.set_replaces(answer.replaces);
    head += FieldHead(v1::ExchangeResponse::kAnswersFieldNumber, fields.ByteSizeLong() + answer.bytes());
    fields.AppendToString(&head);
    for (const UpdateRun& run : answer.updates) {
      if (!head.empty()) slices.emplace_back(head);
      head.clear();
      slices.push_back(SharedSlice(run));
    }
  }
  if (!head.empty()) slices.emplace_back(head);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace cddp
