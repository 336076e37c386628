// What callers may hold of a server: a flood, a slow reader and a bomb are refused, and training goes on.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/transport/channel.h"
#include "common/transport/layout_message.h"
#include "common/transport/protocol.h"
#include "server/server.h"
#include "worker/buckets/host_buckets.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

// Hands bytes on between one client and a server, both ways, until it is told to keep what the server says: then it
// reads no more of it, as a client does that hangs.
class Proxy {
 public:
  explicit Proxy(const std::string& server) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in any = Loopback(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
    sockaddr_in bound = {};
    socklen_t size = sizeof(bound);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    address_ = absl::StrCat("127.0.0.1:", ntohs(bound.sin_port));
    uint32_t port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(server.substr(server.rfind(':') + 1), &port));
    thread_ = std::thread([this, port] { Run(static_cast<uint16_t>(port)); });
  }
  ~Proxy() {
    ending_ = true;
    thread_.join();
    close(listener_);
  }
  const std::string& address() const { return address_; }
  void Hang() { hangs_ = true; }

 private:
  static sockaddr_in Loopback(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }
  static bool Pass(int from, int to) {
    char piece[1 << 16];
    const ssize_t got = recv(from, piece, sizeof(piece), 0);
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t more = send(to, piece + sent, got - sent, MSG_NOSIGNAL);
      if (more <= 0) return false;
      sent += more;
    }
    return got > 0;
  }
  void Run(uint16_t port) {
    pollfd waits = {listener_, POLLIN, 0};
    while (!ending_ && poll(&waits, 1, 10) == 0) {
    }
    if (ending_) return;
    const int client = accept(listener_, nullptr, nullptr);
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = Loopback(port);
    EXPECT_EQ(connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    bool open = true;
    while (!ending_ && open) {
      // A hanging reader is told of errors only.
      pollfd ends[2] = {{client, POLLIN, 0}, {server, static_cast<short>(hangs_ ? 0 : POLLIN), 0}};
      poll(ends, 2, 10);
      if ((ends[1].revents & (POLLERR | POLLHUP)) != 0) open = false;
      if ((ends[0].revents & POLLIN) != 0 && !Pass(client, server)) open = false;
      if ((ends[1].revents & POLLIN) != 0 && !Pass(server, client)) open = false;
    }
    close(client);
    close(server);
  }

  int listener_ = -1;
  std::string address_;
  std::atomic<bool> ending_{false};
  std::atomic<bool> hangs_{false};
  std::thread thread_;
};

class ServerLimitsTest : public ::testing::Test {
 protected:
  void StartServer() {
    options_.metrics_listen = "";
    options_.shard.publish.ratio = 1;
    options_.shard.publish.value_encoding = ValueEncoding::kFp32;
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  uint64_t Refused(Refusal why) const { return server_->refusals().count(why); }

  GrpcClusterOptions ClientOptions(uint32_t rank) const {
    GrpcClusterOptions options;
    options.addresses = {server_->address()};
    options.rank = rank;
    options.worker_count = options_.shard.worker_count;
    options.incarnation = 1;
    return options;
  }

  // Rank 0, which has initialised a model of one bucket.
  struct Worker {
    std::unique_ptr<GrpcCluster> client;
    std::unique_ptr<GradientExchange> exchange;
    std::vector<float> weights;
  };
  Worker Initialised(uint64_t elements) const {
    const ParameterLayout layout = *ParameterLayout::Create({{"w", {static_cast<int64_t>(elements)}}}, elements);
    absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(ClientOptions(0), layout);
    EXPECT_TRUE(client.ok()) << client.status();
    Worker worker = {*std::move(client), nullptr, std::vector<float>(elements, 1)};
    worker.exchange = *MakeHostExchange(layout, {CompressorOptions{}, 1, 0}, worker.client.get());
    const absl::Status status = worker.exchange->Initialise(absl::MakeSpan(worker.weights), true);
    EXPECT_TRUE(status.ok()) << status;
    return worker;
  }

  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerLimitsTest, MessagesThatGrpcHasCompressedAreRefused) {
  StartServer();
  const auto stub = v1::ParameterServer::NewStub(
      grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));  // any client's, not ours
  for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::ExchangeRequest request;
    request.add_pushes()->set_update(std::string(3 << 20, '\0'));  // a few KiB on the wire
    v1::ExchangeResponse response;
    EXPECT_EQ(stub->Exchange(&context, request, &response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(Refused(Refusal::kCompressed), 2u);
  grpc::ClientContext context;
  v1::StatusResponse response;
  EXPECT_TRUE(stub->Status(&context, {}, &response).ok()) << "plain messages of the same client are welcome";
}

// The budget holds one bucket's round and little more; every worker pushes all its buckets at once.
TEST_F(ServerLimitsTest, AFullServerMakesWorkersTryAgainAndTrainingGoesOn) {
  constexpr uint32_t kWorkers = 3;
  constexpr uint64_t kSteps = 2;
  options_.shard.worker_count = kWorkers;
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {6 * 40'000}}}, 40'000);
  const auto train = [&] {
    StartServer();
    std::vector<std::vector<float>> weights(kWorkers, std::vector<float>(layout.total_elements(), 1));
    std::vector<std::thread> threads;
    std::atomic<uint64_t> retries = 0;
    for (uint32_t rank = 0; rank < kWorkers; ++rank) {
      threads.emplace_back([&, rank] {
        absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(ClientOptions(rank), layout);
        ASSERT_TRUE(client.ok()) << client.status();
        CompressorOptions dense;
        dense.ratio = 1;
        dense.value_encoding = ValueEncoding::kFp32;
        auto exchange = MakeHostExchange(layout, {dense, 1, 0}, client->get());
        ASSERT_TRUE(exchange.ok() && (*exchange)->Initialise(absl::MakeSpan(weights[rank]), rank == 0).ok());
        const std::vector<float> gradient(layout.total_elements(), static_cast<float>(rank + 1));
        for (uint64_t step = 0; step < kSteps; ++step) {
          const absl::StatusOr<StepTraffic> traffic = (*exchange)->Step(gradient, absl::MakeSpan(weights[rank]));
          ASSERT_TRUE(traffic.ok()) << traffic.status();
        }
        retries += (*client)->retries();
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (uint32_t rank = 1; rank < kWorkers; ++rank) EXPECT_EQ(weights[rank], weights[0]);
    EXPECT_EQ(retries != 0, Refused(Refusal::kTooManyBytes) != 0);
    EXPECT_EQ(server_->limits().inflight_bytes(), 0u);
    return weights[0];
  };
  const std::vector<float> roomy = train();
  EXPECT_EQ(Refused(Refusal::kTooManyBytes), 0u);
  options_.limits.max_inflight_bytes = 1 << 20;  // a round is 480,000 bytes, a step six of them
  EXPECT_EQ(train(), roomy) << "bit for bit";
  EXPECT_GT(Refused(Refusal::kTooManyBytes), 0u);
}

TEST_F(ServerLimitsTest, ABudgetWithoutRoomForOneRoundIsRefusedAtJoin) {
  options_.limits.max_inflight_bytes = 1 << 20;
  StartServer();
  const absl::Status status =
      GrpcCluster::Join(ClientOptions(0), *ParameterLayout::Create({{"w", {200'000}}}, 200'000)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max_inflight_bytes=1048576: raise it"));
  EXPECT_TRUE(server_->shard().status().members.empty());
}

TEST_F(ServerLimitsTest, AReaderThatHangsHoldsABoundedPartAndIsGivenUp) {
  constexpr uint64_t kElements = 100'000;  // answers of 400 KB
  options_.limits.max_inflight_bytes = 2 << 20;
  options_.keepalive = absl::Seconds(2);
  StartServer();
  Worker worker = Initialised(kElements);

  // Asks for the whole bucket again and again: retries of step 0.
  Proxy proxy(server_->address());
  const auto stub = v1::ParameterServer::NewStub(CreateChannel(proxy.address()));
  struct Call {
    grpc::ClientContext context;
    v1::ExchangeResponse response;
  };
  v1::ExchangeRequest request;
  request.mutable_worker()->set_incarnation(1);
  request.set_view(1);
  request.add_pushes();
  std::vector<std::unique_ptr<Call>> calls;
  std::atomic<uint64_t> ended = 0;
  const auto ask = [&] {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    stub->async()->Exchange(&call.context, &request, &call.response, [&ended](const grpc::Status&) { ++ended; });
  };
  ask();
  while (ended == 0) std::this_thread::yield();  // it works
  EXPECT_EQ(calls[0]->response.answers(0).version(), 1u);
  proxy.Hang();
  uint64_t most = 0;
  while (Refused(Refusal::kUnreadAnswers) == 0) {
    ask();
    most = std::max(most, server_->limits().unread_bytes());
    std::this_thread::yield();
  }
  for (int i = 0; i < 100; ++i) ask();
  most = std::max(most, server_->limits().unread_bytes());
  // That the limit was reached is what the refusal says; a look may come before or after that moment.
  EXPECT_GT(most, 0u);
  // Calls that were let in at the same moment are all answered; 100 answers more would be 40 MB.
  EXPECT_LE(most, options_.limits.max_inflight_bytes + 16 * (kElements * sizeof(float) + 64));

  // It is given up, and what it held is free, though it still reads nothing. (A host's other workers are refused until
  // then.)
  while (server_->limits().unread_bytes() != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::vector<float> gradient(kElements, 0.5F);
  const absl::StatusOr<StepTraffic> step = worker.exchange->Step(gradient, absl::MakeSpan(worker.weights));
  EXPECT_TRUE(step.ok()) << step.status();
  for (const auto& call : calls) call->context.TryCancel();
  while (ended != calls.size()) std::this_thread::yield();
}

TEST_F(ServerLimitsTest, SnapshotsThatAreNotReadAreBoundedAndAnHonestReaderTriesAgain) {
  constexpr uint64_t kElements = 4'000'000;  // a chunk of 16 MB, more than the transport takes unread
  options_.limits.max_inflight_bytes = 64 << 20;
  StartServer();
  Worker worker = Initialised(kElements);

  const auto stub = v1::ParameterServer::NewStub(CreateChannel(server_->address()));
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::SnapshotChunk>> reader;
  };
  std::vector<std::unique_ptr<Stream>> streams;
  while (Refused(Refusal::kUnreadAnswers) == 0 && streams.size() < 100) {
    Stream& stream = *streams.emplace_back(std::make_unique<Stream>());
    stream.reader = stub->Snapshot(&stream.context, {});
    stream.reader->WaitForInitialMetadata();
  }
  EXPECT_LT(streams.size(), 10u) << "each holds 32 MB";
  const uint64_t refused = Refused(Refusal::kUnreadAnswers);
  std::thread reader([&] {
    const absl::Status status = worker.client->ReadSnapshot({}, [&](const Cluster::PublishedBucket& read) {
      EXPECT_EQ(read.version, 1u);
      EXPECT_EQ(read.weights.size(), kElements);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  });
  while (Refused(Refusal::kUnreadAnswers) == refused) std::this_thread::yield();
  for (const auto& stream : streams) stream->context.TryCancel();
  reader.join();
  for (const auto& stream : streams) stream->reader->Finish();
  while (server_->limits().unread_bytes() != 0) std::this_thread::yield();
}

TEST_F(ServerLimitsTest, AFloodIsRefusedAndTheRestOfTheServerGoesOn) {
  options_.limits.max_rate_per_peer = 5;  // a loaded machine makes more than that, one after the other
  StartServer();
  const auto stub = v1::ParameterServer::NewStub(CreateChannel(server_->address()));
  uint64_t refused = 0;
  for (int i = 0; i < 500; ++i) {
    grpc::ClientContext context;
    v1::HeartbeatResponse response;
    const grpc::Status status = stub->Heartbeat(&context, {}, &response);
    refused += status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
    if (refused == 1) {
      EXPECT_THAT(status.error_message(), HasSubstr("--max_rate_per_peer=5"));
    }
  }
  EXPECT_GT(refused, 0u);
  EXPECT_EQ(Refused(Refusal::kTooFast), refused);
  // A worker that comes now tries until it is let in.
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {64}}}, 64);
  EXPECT_TRUE(GrpcCluster::Join(ClientOptions(0), layout).ok());
}

TEST_F(ServerLimitsTest, CallsThatWaitAreCounted) {
  options_.shard.worker_count = 2;
  options_.limits.max_calls_per_peer = 2;
  StartServer();
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {64}}}, 16);
  absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(ClientOptions(0), layout);
  ASSERT_TRUE(client.ok()) << client.status();
  std::atomic<int> ended = 0;
  for (uint32_t bucket = 0; bucket < 4; ++bucket) {
    (*client)->Exchange({{bucket, 0, 0, {}}}, [&](uint32_t, const auto&) { ++ended; });
  }
  while (Refused(Refusal::kTooManyCalls) < 2) std::this_thread::yield();
  EXPECT_EQ(ended, 0) << "they try again";
  client->reset();
  EXPECT_EQ(ended, 4);
}

}  // namespace
}  // namespace cddp
