// Messages: the two of an Exchange, which are written by hand, and those of a Join and a Snapshot.

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cddp/v1/parameter_server.pb.h"
#include "common/codec/crc32c.h"
#include "common/transport/exchange_wire.h"
#include "common/transport/layout_message.h"
#include "common/transport/protobuf_field.h"
#include "common/transport/protocol.h"
#include "tests/golden/golden_file.h"

namespace cddp {
namespace {

using ::google::protobuf::util::MessageDifferencer;

// Wire and update formats have one number, which peers compare when a worker joins.
TEST(WireGoldenTest, FilesAreOfThisProtocol) { EXPECT_EQ(kProtocolVersion, 5u) << "renew the wire's golden files"; }

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
  return bytes;
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

TEST(WireGoldenTest, ExchangeRequestIsReadAndWrittenAsBefore) {
  constexpr char kName[] = "exchange_request.bin";
  const PushRequest request = {
      3,
      1600000000000001,
      5,
      {{9, 7, 6, SharedBytes::Own("an update"), false, 0xfedcba98, 24.5f}, {2, 8, 4, SharedBytes(), true}}};
  ExpectGolden(kName, BytesOf(SerializeExchangeRequest(request)));

  grpc::ByteBuffer golden = BufferOf(ReadGolden(kName));
  const absl::StatusOr<PushRequest> read = ParseExchangeRequest(&golden);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->rank, 3u);
  EXPECT_EQ(read->incarnation, 1600000000000001u);
  EXPECT_EQ(read->view, 5u);
  ASSERT_EQ(read->pushes.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const Push& push = read->pushes[i];
    EXPECT_EQ(push.bucket, i == 0 ? 9u : 2u);
    EXPECT_EQ(push.step, i == 0 ? 7u : 8u);
    EXPECT_EQ(push.base_version, i == 0 ? 6u : 4u);
    EXPECT_EQ(push.update.view(), i == 0 ? "an update" : "");
    EXPECT_EQ(push.non_finite, i == 1);
    EXPECT_EQ(push.replica_crc32c, i == 0 ? std::optional<uint32_t>(0xfedcba98) : std::nullopt);
    EXPECT_EQ(push.weight, i == 0 ? std::optional<float>(24.5f) : std::nullopt);
  }
}

TEST(WireGoldenTest, ExchangeResponseIsReadAndWrittenAsBefore) {
  constexpr char kName[] = "exchange_response.bin";
  const auto run = [](const std::string& update) {
    return SharedBytes::Own(FieldHead(v1::BucketAnswer::kUpdatesFieldNumber, update.size()) + update);
  };
  ExpectGolden(kName, BytesOf(SerializeExchangeResponse({{8, {run("first"), run("second")}, false, false},
                                                         {9, {run("weights")}, false, true},
                                                         {10, {}, true, false}})));

  grpc::ByteBuffer golden = BufferOf(ReadGolden(kName));
  const absl::StatusOr<std::vector<PushReply>> read = ParseExchangeResponse(&golden, 3);
  ASSERT_TRUE(read.ok()) << read.status();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ((*read)[i].version, 8 + i);
    EXPECT_EQ((*read)[i].replaces, i == 1);
    EXPECT_EQ((*read)[i].refused, i == 2);
    EXPECT_EQ((*read)[i].updates.size(), 2 - i);
  }
  EXPECT_EQ((*read)[0].updates[0].view(), "first");
  EXPECT_EQ((*read)[0].updates[1].view(), "second");
  EXPECT_EQ((*read)[1].updates[0].view(), "weights");
}

ParameterLayout SampleLayout() {
  return *ParameterLayout::Create({{"weight", {3, 2}, TensorKind::kParameter},
                                   {"bias", {2}, TensorKind::kParameter},
                                   {"running_mean", {2}, TensorKind::kBuffer},
                                   {"batches", {}, TensorKind::kCounter}},
                                  4);
}

TEST(WireGoldenTest, JoinRequestIsReadAndWrittenAsBefore) {
  constexpr char kName[] = "join_request.bin";
  v1::JoinRequest request;
  request.set_protocol_version(5);
  request.mutable_worker()->set_rank(1);
  request.mutable_worker()->set_incarnation(2);
  request.set_worker_count(3);
  *request.mutable_layout() = ToMessage(SampleLayout());
  request.set_agreement("--seed=42");
  request.set_run("a-run");
  request.set_run_claim(v1::BEGUN);
  ExpectGolden(kName, request.SerializeAsString());

  v1::JoinRequest read;
  ASSERT_TRUE(read.ParseFromString(ReadGolden(kName)));
  EXPECT_TRUE(MessageDifferencer::Equals(read, request)) << read.DebugString();
  const absl::StatusOr<ParameterLayout> layout = FromMessage(read.layout());
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->DescribeDifference(SampleLayout()), "");
  EXPECT_EQ(layout->bucket_count(), 3u);
}

TEST(WireGoldenTest, JoinResponseIsReadAndWrittenAsBefore) {
  constexpr char kName[] = "join_response.bin";
  v1::JoinResponse response;
  response.set_shard(1);
  response.set_shard_count(2);
  response.set_bucket_begin(3);
  response.set_bucket_end(4);
  response.set_view(5);
  response.set_lease_ms(6);
  response.set_version(7);
  response.set_consistency(v1::STALE);
  response.set_quorum(9);
  response.set_agreement("--optimizer=sgd");
  response.set_run("a-run");
  response.set_next_step(12);
  ExpectGolden(kName, response.SerializeAsString());

  v1::JoinResponse read;
  ASSERT_TRUE(read.ParseFromString(ReadGolden(kName)));
  EXPECT_TRUE(MessageDifferencer::Equals(read, response)) << read.DebugString();
}

TEST(WireGoldenTest, SnapshotChunkIsReadAndWrittenAsBefore) {
  constexpr char kName[] = "snapshot_chunk.bin";
  constexpr char kWeights[] = {0, 0, '\x80', '\x3f', 0, 0, 0, '\xc0'};  // 1 and -2
  v1::SnapshotChunk chunk;
  chunk.set_bucket(2);
  chunk.set_version(11);
  chunk.set_weights(kWeights, sizeof(kWeights));
  chunk.set_crc32c(Crc32c(kWeights, sizeof(kWeights)));
  *chunk.mutable_layout() = ToMessage(SampleLayout());
  ExpectGolden(kName, chunk.SerializeAsString());

  v1::SnapshotChunk read;
  ASSERT_TRUE(read.ParseFromString(ReadGolden(kName)));
  EXPECT_TRUE(MessageDifferencer::Equals(read, chunk)) << read.DebugString();
}

}  // namespace
}  // namespace cddp
