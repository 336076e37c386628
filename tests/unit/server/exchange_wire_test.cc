#include "server/exchange_wire.h"

#include <gmock/gmock.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/transport/protocol.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// In pieces of a few bytes, as a socket may give them.
grpc::ByteBuffer Buffer(const std::string& bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t begin = 0; begin < bytes.size(); begin += 7) slices.emplace_back(bytes.substr(begin, 7));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::Status Parse(const std::string& bytes, v1::ExchangeRequest* request) {
  grpc::ByteBuffer buffer = Buffer(bytes);
  return ParseExchangeRequest(&buffer, request);
}

v1::ExchangeRequest Request(int pushes) {
  v1::ExchangeRequest request;
  request.mutable_worker()->set_rank(3);
  request.set_view(9);
  for (int i = 0; i < pushes; ++i) {
    request.add_pushes()->set_bucket(static_cast<uint32_t>(1000 - i));
    request.mutable_pushes(i)->set_update(std::string(static_cast<size_t>(i), 'u'));
  }
  return request;
}

TEST(ParseExchangeRequestTest, TakesUpToTheLargestNumberOfPushes) {
  for (const int pushes : {1, 2, kMostPushes}) {
    const v1::ExchangeRequest sent = Request(pushes);
    v1::ExchangeRequest received;
    ASSERT_TRUE(Parse(sent.SerializeAsString(), &received).ok());
    EXPECT_EQ(received.SerializeAsString(), sent.SerializeAsString());
  }
}

TEST(ParseExchangeRequestTest, RefusesNoneTooManyAndBucketsThatDoNotDescend) {
  v1::ExchangeRequest received;
  EXPECT_THAT(Parse(Request(0).SerializeAsString(), &received).message(), HasSubstr("0 pushes"));
  EXPECT_THAT(Parse(Request(kMostPushes + 1).SerializeAsString(), &received).message(), HasSubstr("65 pushes"));
  v1::ExchangeRequest twice = Request(2);
  twice.mutable_pushes(1)->set_bucket(1000);
  EXPECT_THAT(Parse(twice.SerializeAsString(), &received).message(),
              HasSubstr("bucket 1000 is pushed after bucket 1000"));
}

// Two bytes a push: as messages they would take fifty times the memory.
TEST(ParseExchangeRequestTest, AFloodOfEmptyPushesIsRefusedBeforeItTakesMemory) {
  std::string flood;
  for (int i = 0; i < 100'000; ++i) flood += std::string("\x1a\x00", 2);
  v1::ExchangeRequest received;
  EXPECT_THAT(Parse(flood, &received).message(), HasSubstr("100000 pushes"));
  EXPECT_EQ(received.pushes_size(), 0);
  // Nor does a group hide them, or a field that ends behind the message.
  for (const std::string& before :
       {std::string("\x0b", 1), std::string("\x22\xff\xff\x7f", 4), std::string("\x21", 1)}) {
    EXPECT_FALSE(Parse(before + flood, &received).ok());
    EXPECT_EQ(received.pushes_size(), 0);
  }
}

TEST(ParseExchangeRequestTest, AFieldWithThePushesNumberAloneIsNoPush) {
  v1::ExchangeRequest received;
  for (const std::string& field : {std::string("\x18\x00", 2), std::string("\x1d\x00\x00\x00\x00", 5)}) {
    EXPECT_FALSE(Parse(field, &received).ok());
    EXPECT_FALSE(Parse(Request(2).SerializeAsString() + field, &received).ok());
  }
}

TEST(ParseExchangeRequestTest, WhatItDoesNotKnowIsNotHeld) {
  v1::ExchangeRequest request = Request(2);
  const std::string plain = request.SerializeAsString();
  for (v1::BucketPush& push : *request.mutable_pushes()) {
    push.GetReflection()->MutableUnknownFields(&push)->AddLengthDelimited(1000, std::string(100'000, 'u'));
  }
  request.GetReflection()->MutableUnknownFields(&request)->AddVarint(1001, 1);
  ASSERT_GT(request.ByteSizeLong(), 200'000u);
  v1::ExchangeRequest received;
  ASSERT_TRUE(Parse(request.SerializeAsString(), &received).ok());
  EXPECT_EQ(received.SerializeAsString(), plain);
}

TEST(ParseExchangeRequestTest, EveryTruncationIsRefusedOrIsARequest) {
  const std::string whole = Request(3).SerializeAsString();
  for (size_t length = 0; length < whole.size(); ++length) {
    v1::ExchangeRequest received;
    const absl::Status status = Parse(whole.substr(0, length), &received);
    if (status.ok()) {
      EXPECT_LT(received.pushes_size(), 3);
      EXPECT_EQ(received.SerializeAsString(), whole.substr(0, length));
    }
  }
}

TEST(SerializeExchangeResponseTest, IsWhatProtobufWouldWriteAndSharesTheUpdates) {
  UpdateLog log(1'000'000);
  log.Append("small");
  log.Append("second");
  const std::vector<UpdateRun> small = *log.Between(0, 2);
  const std::string bytes(100'000, 'l');
  const UpdateRun large = RunOf(bytes);
  std::vector<ExchangeAnswer> answers(4);
  answers[0] = {5, {small[0], large}};
  answers[1] = {6, {}, false, true};
  answers[2] = {1ull << 40, {large}, true};
  grpc::ByteBuffer buffer = SerializeExchangeResponse(answers);
  EXPECT_EQ(large.data.use_count(), 1 + 2 + 2) << "the answers and the response refer to it";

  v1::ExchangeResponse response;
  ASSERT_TRUE(grpc::SerializationTraits<v1::ExchangeResponse>::Deserialize(&buffer, &response).ok());
  ASSERT_EQ(response.answers_size(), 4);
  EXPECT_EQ(response.answers(0).version(), 5u);
  EXPECT_THAT(response.answers(0).updates(), ElementsAre("small", "second", bytes));
  EXPECT_TRUE(response.answers(1).refused());
  EXPECT_EQ(response.answers(2).version(), 1ull << 40);
  EXPECT_TRUE(response.answers(2).replaces());
  EXPECT_THAT(response.answers(2).updates(), ElementsAre(bytes));
  EXPECT_EQ(response.answers(3).SerializeAsString(), "");
}

}  // namespace
}  // namespace cddp
