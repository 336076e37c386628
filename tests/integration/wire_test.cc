// What a server says to clients that are wrong, foreign or hostile, and what any gRPC tool may ask it.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>

#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/codec/crc32c.h"
#include "common/codec/update_codec.h"
#include "common/transport/channel.h"
#include "common/transport/intended_server.h"
#include "common/transport/layout_message.h"
#include "common/transport/protocol.h"
#include "common/transport/status.h"
#include "tests/integration/local_cluster.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

class WireTest : public ::testing::Test {
 protected:
  WireTest() : layout_(*ParameterLayout::Create({{"w", {40}}}, 10)), servers_(Options()) {
    stub_ = v1::ParameterServer::NewStub(CreateChannel(servers_.addresses()[1]));
  }

  static LocalClusterOptions Options() {
    LocalClusterOptions options;
    options.workers = 1;
    options.servers = 2;
    return options;
  }

  v1::JoinRequest GoodJoin() const {
    v1::JoinRequest request;
    request.set_protocol_version(kProtocolVersion);
    request.mutable_worker()->set_rank(0);
    request.mutable_worker()->set_incarnation(5);
    request.set_worker_count(1);
    *request.mutable_layout() = ToMessage(layout_);
    return request;
  }

  grpc::Status Join(const v1::JoinRequest& request) {
    grpc::ClientContext context;
    return stub_->Join(&context, request, &join_response_);
  }

  v1::ExchangeRequest GoodExchange(uint64_t step) const {
    v1::ExchangeRequest request;
    request.mutable_worker()->set_rank(0);
    request.mutable_worker()->set_incarnation(5);
    request.set_view(1);
    v1::BucketPush& push = *request.add_pushes();
    push.set_bucket(2);
    push.set_step(step);
    push.set_base_version(step);
    std::vector<float> values(10, 1.0f);
    EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp32, push.mutable_update());
    return request;
  }

  grpc::Status Exchange(const v1::ExchangeRequest& request) {
    grpc::ClientContext context;
    return stub_->Exchange(&context, request, &exchange_response_);
  }

  v1::StatusResponse Status(bool with_weights_crc32c = false) {
    grpc::ClientContext context;
    v1::StatusRequest request;
    request.set_with_weights_crc32c(with_weights_crc32c);
    v1::StatusResponse response;
    EXPECT_TRUE(stub_->Status(&context, request, &response).ok());
    return response;
  }
  uint32_t WeightsCrc32c() { return Status(/*with_weights_crc32c=*/true).weights_crc32c(); }

  const ParameterLayout layout_;
  LocalServers servers_;
  std::unique_ptr<v1::ParameterServer::Stub> stub_;
  v1::JoinResponse join_response_;
  v1::ExchangeResponse exchange_response_;
};

TEST_F(WireTest, JoinTellsWhoOwnsWhat) {
  ASSERT_TRUE(Join(GoodJoin()).ok());
  EXPECT_EQ(join_response_.shard(), 1u);
  EXPECT_EQ(join_response_.shard_count(), 2u);
  EXPECT_EQ(join_response_.bucket_begin(), 2u);
  EXPECT_EQ(join_response_.bucket_end(), 4u);
  EXPECT_EQ(join_response_.version(), 0u);
}

// Found by the simulation: a call with a push that could not count waited for a worker that waited for this one.
TEST_F(WireTest, AnErrorThatEndsTheWorkerIsToldWhileOtherPushesOfTheCallWait) {
  LocalClusterOptions options = Options();
  options.workers = 2;
  options.servers = 1;
  const LocalServers servers(options);
  const auto stub = v1::ParameterServer::NewStub(CreateChannel(servers.addresses()[0]));
  v1::JoinRequest join = GoodJoin();
  join.set_worker_count(2);
  grpc::ClientContext joining;
  ASSERT_TRUE(stub->Join(&joining, join, &join_response_).ok());
  v1::ExchangeRequest request = GoodExchange(0);  // whose round waits for worker 1
  v1::BucketPush& push = *request.add_pushes();
  push.set_bucket(1);
  push.set_step(1);
  push.set_base_version(1);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const grpc::Status status = stub->Exchange(&context, request, &exchange_response_);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("lost its state"));
}

TEST_F(WireTest, JoinRefusesAnotherProtocolLayoutOrWorkerCount) {
  v1::JoinRequest request = GoodJoin();
  request.set_protocol_version(kProtocolVersion + 1);
  grpc::Status status = Join(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("protocol version"));

  request = GoodJoin();
  request.set_worker_count(3);
  EXPECT_THAT(Join(request).error_message(), HasSubstr("--workers=3"));

  request = GoodJoin();
  request.mutable_worker()->set_rank(9);
  EXPECT_THAT(Join(request).error_message(), HasSubstr("rank 9"));
  EXPECT_EQ(Status().parameters(), 0u) << "a refused first Join leaves no layout behind";

  ASSERT_TRUE(Join(GoodJoin()).ok());
  ASSERT_TRUE(Exchange(GoodExchange(0)).ok());  // from here on the model is the cluster's
  request = GoodJoin();
  *request.mutable_layout() = ToMessage(*ParameterLayout::Create({{"w", {41}}}, 10));
  status = Join(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("tensor 0 is w[41] here, w[40] there"));
}

TEST_F(WireTest, ClaimRankRefusesWhatJoinWouldAndIsForShardZero) {
  v1::ClaimRankRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_worker_count(1);
  request.set_incarnation(1);
  const auto claim = [&](uint32_t shard) {
    grpc::ClientContext context;
    v1::ClaimRankResponse response;
    return v1::ParameterServer::NewStub(CreateChannel(servers_.addresses()[shard]))
        ->ClaimRank(&context, request, &response);
  };
  EXPECT_TRUE(claim(0).ok());
  EXPECT_EQ(claim(1).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(claim(1).error_message(), HasSubstr("this is shard 1"));
  request.set_worker_count(3);
  EXPECT_THAT(claim(0).error_message(), HasSubstr("--workers=3"));
  request.set_worker_count(1);
  request.set_protocol_version(kProtocolVersion + 1);
  EXPECT_THAT(claim(0).error_message(), HasSubstr("protocol version"));
}

TEST_F(WireTest, ACallForAnotherServerIsRefusedBeforeItChangesAnything) {
  const auto call = [&](uint32_t shard, uint32_t shards, const auto& make) {
    grpc::ClientContext context;
    SetIntendedServer(&context, shard, shards);
    return make(&context);
  };
  const auto join = [&](grpc::ClientContext* context) { return stub_->Join(context, GoodJoin(), &join_response_); };
  const auto refused = [&](const auto& make) {
    const grpc::Status status = call(0, 2, make);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_TRUE(IsWrongServer(FromGrpc(status)));
    EXPECT_THAT(status.error_message(), HasSubstr("this is shard 1 of 2, and the call is for shard 0 of 2"));
  };
  refused(join);
  EXPECT_EQ(Status().parameters(), 0u);
  EXPECT_TRUE(IsWrongServer(FromGrpc(call(1, 3, join)))) << "another cluster's";
  EXPECT_EQ(call(1, 2, join).error_code(), grpc::StatusCode::OK);

  refused([&](grpc::ClientContext* context) {
    v1::HeartbeatRequest request;
    *request.mutable_worker() = GoodJoin().worker();
    v1::HeartbeatResponse response;
    return stub_->Heartbeat(context, request, &response);
  });
  refused([&](grpc::ClientContext* context) {
    v1::ExchangeResponse response;
    return stub_->Exchange(context, GoodExchange(0), &response);
  });
  refused([&](grpc::ClientContext* context) {
    v1::LeaveRequest request;
    *request.mutable_worker() = GoodJoin().worker();
    v1::LeaveResponse response;
    return stub_->Leave(context, request, &response);
  });
  refused([&](grpc::ClientContext* context) {
    v1::SnapshotChunk chunk;
    const auto reader = stub_->Snapshot(context, {});
    EXPECT_FALSE(reader->Read(&chunk));
    return reader->Finish();
  });
  EXPECT_EQ(Status().workers(0).state(), v1::WorkerStatus::JOINED);
  EXPECT_EQ(Status().exchanges(), 0u);
  EXPECT_EQ(servers_.server(1).refusals().count(Refusal::kWrongServer), 6u);

  grpc::ClientContext unreadable;
  unreadable.AddMetadata(kIntendedServerKey, "first");
  EXPECT_EQ(stub_->Join(&unreadable, GoodJoin(), &join_response_).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WireTest, JoinRefusesLayoutsThatCannotBeHeld) {
  v1::JoinRequest request = GoodJoin();
  *request.mutable_layout() = ToMessage(*ParameterLayout::Create({{"w", {5}}}, 10));
  EXPECT_THAT(Join(request).error_message(), HasSubstr("more servers (2) than the model has buckets (1)"));

  request = GoodJoin();
  *request.mutable_layout() = ToMessage(*ParameterLayout::Create({{"w", {int64_t{1} << 35}}}, 1 << 20));
  EXPECT_THAT(Join(request).error_message(), HasSubstr("--max_parameters"));

  request = GoodJoin();
  *request.mutable_layout() = ToMessage(*ParameterLayout::Create({{"w", {int64_t{1} << 24}}}, 1));
  EXPECT_THAT(Join(request).error_message(), HasSubstr("raise the workers' --bucket_bytes"));

  request = GoodJoin();
  request.mutable_layout()->mutable_tensors(0)->set_shape(0, -7);
  EXPECT_EQ(Join(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WireTest, ExchangeRefusesWhatDoesNotFitAndCountsIt) {
  EXPECT_EQ(Exchange(GoodExchange(0)).error_code(), grpc::StatusCode::FAILED_PRECONDITION) << "not joined";
  ASSERT_TRUE(Join(GoodJoin()).ok());
  ASSERT_TRUE(Exchange(GoodExchange(0)).ok());
  EXPECT_EQ(exchange_response_.answers(0).version(), 1u);
  const uint32_t weights = WeightsCrc32c();

  v1::ExchangeRequest request = GoodExchange(1);
  request.mutable_worker()->set_incarnation(4);
  EXPECT_THAT(Exchange(request).error_message(), HasSubstr("another process holds rank 0"));
  request = GoodExchange(1);
  request.set_view(2);
  EXPECT_THAT(Exchange(request).error_message(), HasSubstr("view 2 is later than this server's, 1"));
  request.set_view(UINT64_MAX);
  EXPECT_EQ(Exchange(request).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  request = GoodExchange(1);
  request.mutable_pushes(0)->set_bucket(0);
  EXPECT_THAT(Exchange(request).error_message(), HasSubstr("not of this server"));
  request = GoodExchange(1);
  request.mutable_pushes(0)->set_base_version(0);
  EXPECT_THAT(Exchange(request).error_message(), HasSubstr("step 1 does not fit base version 0"));
  request = GoodExchange(1);
  // A huge or non-finite value, or fine: flip the header too.
  request.mutable_pushes(0)->mutable_update()->back() ^= 0x7f;
  request.mutable_pushes(0)->mutable_update()->front() ^= 0x7f;
  EXPECT_EQ(Exchange(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request = GoodExchange(1);
  request.mutable_pushes(0)->set_update(std::string(1 << 16, 'x'));
  EXPECT_EQ(Exchange(request).error_code(), grpc::StatusCode::INVALID_ARGUMENT);

  EXPECT_EQ(WeightsCrc32c(), weights) << "nothing changed";
  EXPECT_EQ(Status().refused_exchanges(), 8u);
  EXPECT_TRUE(Exchange(GoodExchange(1)).ok()) << "and the round goes on";
}

// What a retry of such a call relies on.
TEST_F(WireTest, OneRefusedPushFailsTheCallButTheOthersAreCounted) {
  ASSERT_TRUE(Join(GoodJoin()).ok());
  v1::ExchangeRequest both = GoodExchange(0);
  v1::BucketPush second = both.pushes(0);
  both.mutable_pushes(0)->set_bucket(3);
  *both.add_pushes() = second;
  ASSERT_TRUE(Exchange(both).ok());
  ASSERT_EQ(exchange_response_.answers_size(), 2);
  for (v1::BucketPush& push : *both.mutable_pushes()) {
    push.set_step(1);
    push.set_base_version(1);
  }
  const uint64_t rounds = Status().exchanges();

  v1::ExchangeRequest wrong = both;
  wrong.mutable_pushes(0)->set_base_version(0);
  EXPECT_THAT(Exchange(wrong).error_message(), HasSubstr("step 1 does not fit base version 0"));
  EXPECT_EQ(Status().exchanges(), rounds + 1);
  EXPECT_EQ(Status().min_version(), 1u);
  EXPECT_EQ(Status().max_version(), 2u);

  exchange_response_.Clear();
  ASSERT_TRUE(Exchange(both).ok()) << "the retry is answered, and nothing counted twice";
  EXPECT_EQ(exchange_response_.answers(0).version(), 2u);
  EXPECT_EQ(exchange_response_.answers(1).version(), 2u);
  EXPECT_EQ(Status().min_version(), 2u);
  EXPECT_EQ(Status().max_version(), 2u);
}

TEST_F(WireTest, TheViewIsToldByJoinHeartbeatAndStatus) {
  EXPECT_EQ(Status().view(), 0u);
  v1::JoinRequest named = GoodJoin();
  named.set_run("a-run");
  named.set_run_claim(v1::NAMED);
  ASSERT_TRUE(Join(named).ok());
  EXPECT_EQ(join_response_.view(), 1u);
  v1::JoinRequest newer = named;
  newer.mutable_worker()->set_incarnation(6);
  ASSERT_TRUE(Join(newer).ok());
  EXPECT_EQ(join_response_.view(), 2u) << "another process";
  grpc::ClientContext context;
  v1::HeartbeatRequest heartbeat;
  *heartbeat.mutable_worker() = newer.worker();
  v1::HeartbeatResponse answer;
  ASSERT_TRUE(stub_->Heartbeat(&context, heartbeat, &answer).ok());
  EXPECT_EQ(answer.view(), 2u);
  EXPECT_EQ(Status().view(), 2u);
  v1::ExchangeRequest request = GoodExchange(0);
  *request.mutable_worker() = newer.worker();
  request.set_view(1);
  EXPECT_TRUE(Exchange(request).ok()) << "an older view is fine";
}

TEST_F(WireTest, OversizedMessagesAreRefusedBeforeTheyAreRead) {
  ASSERT_TRUE(Join(GoodJoin()).ok());
  v1::ExchangeRequest request = GoodExchange(0);
  request.mutable_pushes(0)->set_update(std::string(kMaxMessageBytes + 1, 'x'));
  grpc::ChannelArguments unlimited;
  unlimited.SetMaxSendMessageSize(-1);
  auto stub = v1::ParameterServer::NewStub(
      grpc::CreateCustomChannel(servers_.addresses()[1], grpc::InsecureChannelCredentials(), unlimited));
  grpc::ClientContext context;
  EXPECT_EQ(stub->Exchange(&context, request, &exchange_response_).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(WireTest, SnapshotStreamsThePublishedWeights) {
  const auto read = [&](std::vector<v1::SnapshotChunk>* chunks) {
    grpc::ClientContext context;
    auto reader = stub_->Snapshot(&context, {});
    v1::SnapshotChunk chunk;
    while (reader->Read(&chunk)) chunks->push_back(chunk);
    return reader->Finish();
  };
  std::vector<v1::SnapshotChunk> chunks;
  EXPECT_EQ(read(&chunks).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Join(GoodJoin()).ok());
  ASSERT_TRUE(Exchange(GoodExchange(0)).ok());
  EXPECT_EQ(read(&chunks).error_code(), grpc::StatusCode::FAILED_PRECONDITION) << "bucket 3 has no weights yet";
  v1::ExchangeRequest other = GoodExchange(0);
  other.mutable_pushes(0)->set_bucket(3);
  ASSERT_TRUE(Exchange(other).ok());

  chunks.clear();
  ASSERT_TRUE(read(&chunks).ok());
  ASSERT_EQ(chunks.size(), 2u);
  uint32_t crc = 0;
  for (const v1::SnapshotChunk& chunk : chunks) {
    EXPECT_EQ(chunk.version(), 1u);
    EXPECT_EQ(chunk.weights().size(), 40u);
    EXPECT_EQ(chunk.crc32c(), Crc32c(chunk.weights().data(), chunk.weights().size()));
    crc = Crc32c(chunk.weights().data(), chunk.weights().size(), crc);
  }
  EXPECT_EQ(crc, WeightsCrc32c());
  EXPECT_EQ(Status().weights_crc32c(), 0u) << "reading all weights has to be asked for";
}

TEST_F(WireTest, StatusShowsWorkersAndTraffic) {
  ASSERT_TRUE(Join(GoodJoin()).ok());
  ASSERT_TRUE(Exchange(GoodExchange(0)).ok());
  v1::StatusResponse status = Status();
  EXPECT_EQ(status.parameters(), 40u);
  EXPECT_EQ(status.shard_parameters(), 20u);
  EXPECT_EQ(status.max_version(), 1u);
  EXPECT_EQ(status.min_version(), 0u);
  EXPECT_EQ(status.received_bytes(), GoodExchange(0).pushes(0).update().size());
  ASSERT_EQ(status.workers_size(), 1);
  EXPECT_EQ(status.workers(0).state(), v1::WorkerStatus::JOINED);
  EXPECT_EQ(status.workers(0).received_bytes(), status.received_bytes());

  grpc::ClientContext context;
  v1::LeaveRequest leave;
  *leave.mutable_worker() = GoodJoin().worker();
  leave.set_finished(true);
  v1::LeaveResponse left;
  ASSERT_TRUE(stub_->Leave(&context, leave, &left).ok());
  EXPECT_EQ(Status().workers(0).state(), v1::WorkerStatus::FINISHED);
}

}  // namespace
}  // namespace cddp
