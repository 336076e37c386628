// The generated classes are the contract: we read the bytes that they write, and they read ours.

#include "common/transport/exchange_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "cddp/v1/parameter_server.pb.h"
#include "common/transport/protobuf_field.h"
#include "common/transport/protocol.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

grpc::ByteBuffer Buffer(const std::vector<std::string>& pieces) {
  std::vector<grpc::Slice> slices(pieces.begin(), pieces.end());
  return grpc::ByteBuffer(slices.data(), slices.size());
}

// In pieces of `piece` bytes, as a socket may give them.
grpc::ByteBuffer Cut(const std::string& bytes, size_t piece) {
  std::vector<std::string> pieces;
  for (size_t begin = 0; begin < bytes.size(); begin += piece) pieces.push_back(bytes.substr(begin, piece));
  return Buffer(pieces);
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
  return bytes;
}

absl::StatusOr<PushRequest> ParseRequest(const std::string& bytes) {
  grpc::ByteBuffer buffer = Cut(bytes, 7);
  return ParseExchangeRequest(&buffer);
}

absl::StatusOr<std::vector<PushReply>> ParseResponse(const std::string& bytes, size_t pushes) {
  grpc::ByteBuffer buffer = Cut(bytes, 7);
  return ParseExchangeResponse(&buffer, pushes);
}

v1::ExchangeRequest ToMessage(const PushRequest& request) {
  v1::ExchangeRequest message;
  message.mutable_worker()->set_rank(request.rank);
  message.mutable_worker()->set_incarnation(request.incarnation);
  message.set_view(request.view);
  for (const Push& push : request.pushes) {
    v1::BucketPush& to = *message.add_pushes();
    to.set_bucket(push.bucket);
    to.set_step(push.step);
    to.set_base_version(push.base_version);
    to.set_update(push.update.data(), push.update.size());
    to.set_non_finite(push.non_finite);
    if (push.replica_crc32c.has_value()) to.set_replica_crc32c(*push.replica_crc32c);
    if (push.weight.has_value()) to.set_weight(*push.weight);
  }
  return message;
}

v1::ExchangeResponse ToMessage(const std::vector<PushReply>& replies) {
  v1::ExchangeResponse message;
  for (const PushReply& reply : replies) {
    v1::BucketAnswer& to = *message.add_answers();
    to.set_version(reply.version);
    for (const SharedBytes& update : reply.updates) to.add_updates(update.data(), update.size());
    to.set_refused(reply.refused);
    to.set_replaces(reply.replaces);
  }
  return message;
}

std::vector<PackedReply> Packed(const std::vector<PushReply>& replies) {
  std::vector<PackedReply> packed;
  for (const PushReply& reply : replies) {
    packed.push_back({reply.version, {}, reply.refused, reply.replaces});
    for (const SharedBytes& update : reply.updates) {
      packed.back().runs.push_back(SharedBytes::Own(FieldHead(v1::BucketAnswer::kUpdatesFieldNumber, update.size()) +
                                                    std::string(update.view())));
    }
  }
  return packed;
}

// Every field with values of one byte and of many, and left out.
PushRequest Request() {
  PushRequest request = {3, 1'700'000'000'000'000, 9, {}};
  request.pushes.push_back({1u << 31, UINT64_MAX, 1ull << 40, SharedBytes::Own(std::string(300, 'u')), true, 0});
  request.pushes.push_back({700, 5, 4, SharedBytes::Own("update"), false, UINT32_MAX, 96.5F});
  request.pushes.push_back({1, 0, 0, SharedBytes(), true, std::nullopt, 0.0F});
  request.pushes.push_back({});
  return request;
}

std::vector<PushReply> Replies() {
  std::vector<PushReply> replies(4);
  replies[0] = {5, {SharedBytes::Own("first"), SharedBytes::Own(std::string(300, 's'))}};
  replies[1] = {1ull << 40, {}, true};
  replies[3] = {6, {SharedBytes::Own("weights")}, true, true};
  return replies;
}

PushRequest ManyPushes(int pushes) {
  PushRequest request = {3, 1, 9, {}};
  for (int i = 0; i < pushes; ++i) {
    request.pushes.push_back({static_cast<uint32_t>(1000 - i), 1, 1, SharedBytes::Own(std::string(i, 'u'))});
  }
  return request;
}

TEST(ExchangeWireTest, WritesWhatTheGeneratedClassesWrite) {
  EXPECT_EQ(BytesOf(SerializeExchangeRequest(Request())), ToMessage(Request()).SerializeAsString());
  EXPECT_EQ(BytesOf(SerializeExchangeResponse(Packed(Replies()))), ToMessage(Replies()).SerializeAsString());
  EXPECT_EQ(BytesOf(SerializeExchangeResponse({})), "");
}

TEST(ExchangeWireTest, ReadsWhatTheGeneratedClassesWriteHoweverItIsCut) {
  const std::string request = ToMessage(Request()).SerializeAsString();
  const std::string response = ToMessage(Replies()).SerializeAsString();
  const auto expect_both = [&](grpc::ByteBuffer first, grpc::ByteBuffer second) {
    const absl::StatusOr<PushRequest> parsed = ParseExchangeRequest(&first);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(ToMessage(*parsed).SerializeAsString(), request);
    EXPECT_EQ(first.Length(), 0u);
    const absl::StatusOr<std::vector<PushReply>> replies = ParseExchangeResponse(&second, 4);
    ASSERT_TRUE(replies.ok()) << replies.status();
    EXPECT_EQ(ToMessage(*replies).SerializeAsString(), response);
    EXPECT_EQ(second.Length(), 0u);
  };
  for (size_t cut = 0; cut <= std::max(request.size(), response.size()); ++cut) {
    const size_t first = std::min(cut, request.size()), second = std::min(cut, response.size());
    expect_both(Buffer({request.substr(0, first), request.substr(first)}),
                Buffer({response.substr(0, second), response.substr(second)}));
  }
  for (size_t piece = 1; piece < 20; ++piece) expect_both(Cut(request, piece), Cut(response, piece));
}

// As far as the structs tell.
void Normalize(v1::ExchangeRequest* message) {
  message->DiscardUnknownFields();
  message->mutable_worker();
}
void Normalize(v1::ExchangeResponse* message) { message->DiscardUnknownFields(); }

// What mutated bytes are taken for, the generated classes take them for, too; unless they are refused.
template <typename Message, typename Parse>
void ExpectNoOtherMeaning(const std::string& bytes, const Parse& parse) {
  const auto parsed = parse(bytes);
  if (!parsed.ok()) return;
  Message message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  Normalize(&message);
  EXPECT_EQ(ToMessage(*parsed).SerializeAsString(), message.SerializeAsString());
}

template <typename Message, typename Parse>
int CountTaken(const std::string& whole, const Parse& parse) {
  int taken = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int change = 0; change < 256; ++change) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      ExpectNoOtherMeaning<Message>(bytes, parse);
      taken += parse(bytes).ok();
    }
    ExpectNoOtherMeaning<Message>(whole.substr(0, at), parse);
    ExpectNoOtherMeaning<Message>(whole.substr(at), parse);
    ExpectNoOtherMeaning<Message>(whole.substr(0, at) + whole.substr(at / 2), parse);
  }
  return taken;
}

TEST(ExchangeWireTest, MutatedBytesHaveNoOtherMeaning) {
  PushRequest request = Request();
  request.pushes[0].update = SharedBytes::Own("uu");
  std::vector<PushReply> replies = Replies();
  replies[0].updates[1] = SharedBytes::Own("ss");
  EXPECT_GT(CountTaken<v1::ExchangeRequest>(ToMessage(request).SerializeAsString(), ParseRequest), 1000);
  const auto parse = [](const std::string& bytes) { return ParseResponse(bytes, 4); };
  EXPECT_GT(CountTaken<v1::ExchangeResponse>(ToMessage(replies).SerializeAsString(), parse), 1000);
}

TEST(ExchangeWireTest, UpdatesAreWrittenWithoutACopyAndReadWithoutOneWhereOneSliceHoldsThem) {
  const SharedBytes update = SharedBytes::Own(std::string(kLeastSharedBytes, 'u'));
  const grpc::ByteBuffer sent = SerializeExchangeRequest({0, 1, 1, {{5, 1, 1, update}, {4, 1, 1, update.Part(1, 99)}}});
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(sent.Dump(&slices).ok());
  const auto is_written = [&](const char* bytes) {
    return std::any_of(slices.begin(), slices.end(),
                       [&](const grpc::Slice& slice) { return reinterpret_cast<const char*>(slice.begin()) == bytes; });
  };
  EXPECT_TRUE(is_written(update.data()));
  EXPECT_TRUE(is_written(update.data() + 1));
  grpc::ByteBuffer received = sent;
  const absl::StatusOr<PushRequest> request = ParseExchangeRequest(&received);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->pushes[0].update.data(), update.data());
  EXPECT_NE(request->pushes[1].update.data(), update.data() + 1) << "it would keep all of the slice";
  EXPECT_EQ(request->pushes[1].update.view(), update.Part(1, 99).view());

  const std::vector<PackedReply> packed = Packed({{7, {update, SharedBytes::Own(std::string(50, 'v'))}}});
  grpc::ByteBuffer answer = SerializeExchangeResponse(packed);
  const absl::StatusOr<std::vector<PushReply>> replies = ParseExchangeResponse(&answer, 1);
  ASSERT_TRUE(replies.ok());
  for (size_t i = 0; i < 2; ++i) {
    const SharedBytes& read = (*replies)[0].updates[i];
    EXPECT_EQ(read.data() + read.size(), packed[0].runs[i].data() + packed[0].runs[i].size());
  }
}

TEST(ParseExchangeRequestTest, TakesUpToTheLargestNumberOfPushes) {
  for (const int pushes : {1, 2, kMostPushes}) {
    const std::string sent = ToMessage(ManyPushes(pushes)).SerializeAsString();
    const absl::StatusOr<PushRequest> received = ParseRequest(sent);
    ASSERT_TRUE(received.ok());
    EXPECT_EQ(ToMessage(*received).SerializeAsString(), sent);
  }
}

TEST(ParseExchangeRequestTest, RefusesNoneTooManyAndBucketsThatDoNotDescend) {
  const auto message = [](const PushRequest& request) {
    return std::string(ParseRequest(ToMessage(request).SerializeAsString()).status().message());
  };
  EXPECT_THAT(message(ManyPushes(0)), HasSubstr("0 pushes"));
  EXPECT_THAT(message(ManyPushes(kMostPushes + 1)), HasSubstr("65 pushes"));
  PushRequest twice = ManyPushes(2);
  twice.pushes[1].bucket = 1000;
  EXPECT_THAT(message(twice), HasSubstr("bucket 1000 is pushed after bucket 1000"));
}

// Two bytes a push: as structs they would take fifty times the memory.
TEST(ParseExchangeRequestTest, AFloodOfEmptyPushesIsRefused) {
  std::string flood;
  for (int i = 0; i < 100'000; ++i) flood += std::string("\x1a\x00", 2);
  EXPECT_THAT(ParseRequest(flood).status().message(), HasSubstr("100000 pushes"));
  // Nor does a group hide them, or a field that ends behind the message.
  for (const std::string& before :
       {std::string("\x0b", 1), std::string("\x22\xff\xff\x7f", 4), std::string("\x21", 1)}) {
    EXPECT_FALSE(ParseRequest(before + flood).ok());
  }
}

TEST(ParseExchangeRequestTest, AFieldWithThePushesNumberAloneIsNoPush) {
  const std::string good = ToMessage(ManyPushes(2)).SerializeAsString();
  for (const std::string& field : {std::string("\x18\x00", 2), std::string("\x1d\x00\x00\x00\x00", 5)}) {
    EXPECT_FALSE(ParseRequest(field).ok());
    EXPECT_FALSE(ParseRequest(good + field).ok());
  }
}

TEST(ParseExchangeRequestTest, SkipsWhatItDoesNotKnow) {
  v1::ExchangeRequest message = ToMessage(ManyPushes(2));
  const std::string plain = message.SerializeAsString();
  const auto add_unknown = [](google::protobuf::Message* to) {
    google::protobuf::UnknownFieldSet* unknown = to->GetReflection()->MutableUnknownFields(to);
    unknown->AddLengthDelimited(1000, std::string(1000, 'u'));
    unknown->AddVarint(1001, UINT64_MAX);
    unknown->AddFixed32(1002, 1);
    unknown->AddFixed64(1003, 1);
    unknown->AddFixed32(1, 1);  // a known field's number, another type
  };
  for (v1::BucketPush& push : *message.mutable_pushes()) add_unknown(&push);
  add_unknown(message.mutable_worker());
  add_unknown(&message);
  const absl::StatusOr<PushRequest> received = ParseRequest(message.SerializeAsString());
  ASSERT_TRUE(received.ok());
  EXPECT_EQ(ToMessage(*received).SerializeAsString(), plain);
}

TEST(ParseExchangeResponseTest, TheAnswersMustBeAsManyAsThePushes) {
  const std::string response = ToMessage(Replies()).SerializeAsString();
  for (const size_t pushes : {0, 3, 5}) {
    const absl::Status status = ParseResponse(response, pushes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(status.message(), HasSubstr(std::to_string(pushes) + " pushes"));
  }
  EXPECT_TRUE(ParseResponse("", 0).ok());
}

}  // namespace
}  // namespace cddp
