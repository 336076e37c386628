// Workers and servers that die, come back or are damaged while the others train.

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "common/transport/protocol.h"
#include "tests/integration/quadratic.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {
namespace {

TEST(ElasticTest, ADamagedReplicaIsFoundAndReplaced) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(1, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 1;
  options.servers = 2;
  options.push = options.publish = TopK(0.05);
  LocalServers servers(options);
  auto client = *GrpcCluster::Join(servers.ClientOptions(0), layout);
  auto exchange = *MakeHostExchange(layout, {options.push, 1, 0}, client.get());
  std::vector<float> weights = Noise(layout.total_elements(), 7);
  std::vector<float> gradient(weights.size());
  ASSERT_TRUE(exchange->Initialise(absl::MakeSpan(weights), true).ok());
  const auto published = [&] {
    std::vector<float> all(layout.total_elements());
    const absl::Status status = client->ReadSnapshot({}, [&](const Cluster::PublishedBucket& part) {
      std::copy(part.weights.begin(), part.weights.end(), all.begin() + layout.bucket_range(part.bucket).begin);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return all;
  };
  for (uint64_t step = 1; step <= 2 * kReplicaCheckPeriod; ++step) {
    problem.gradient()(0, step, weights, absl::MakeSpan(gradient));
    ASSERT_TRUE(exchange->Step(gradient, absl::MakeSpan(weights)).ok());
    if (step == kReplicaCheckPeriod / 2) {
      EXPECT_EQ(weights, published());
      weights.front() += 1;  // as a bit that flips in memory
      weights.back() += 1;
      EXPECT_NE(weights, published());
    }
  }
  EXPECT_EQ(weights, published());
}

TEST(ElasticTest, AServerThatHasLostItsStateIsNotTakenForANewRun) {
  LocalClusterOptions options;
  options.workers = 1;
  options.servers = 2;
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {200}}}, 100);
  LocalServers servers(options);
  {
    auto client = GrpcCluster::Join(servers.ClientOptions(0), layout);
    ASSERT_TRUE(client.ok()) << client.status();
    auto exchange = MakeHostExchange(layout, {CompressorOptions{}, 1, 0}, client->get());
    std::vector<float> weights(200, 1);
    ASSERT_TRUE((*exchange)->Initialise(absl::MakeSpan(weights), true).ok());
    for (int step = 0; step < 3; ++step) ASSERT_TRUE((*exchange)->Step(weights, absl::MakeSpan(weights)).ok());
  }
  const LocalServers anew(options);
  GrpcClusterOptions mixed = servers.ClientOptions(0);
  mixed.addresses[1] = anew.addresses()[1];
  const absl::Status status = GrpcCluster::Join(mixed, layout).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(std::string(status.message()).find(mixed.addresses[1] + " begins anew"), std::string::npos) << status;
  mixed.run = {};  // one that does not know the run finds out
  const LocalServers others(options);
  mixed.addresses[1] = others.addresses()[1];
  const absl::Status lost = GrpcCluster::Join(mixed, layout).status();
  EXPECT_NE(std::string(lost.message()).find("this server holds no run: it has lost its state"), std::string::npos)
      << lost;
  EXPECT_TRUE(GrpcCluster::Join(LocalServers(options).ClientOptions(0), layout).ok()) << "all are new";
}

// Found by the simulation: each process that comes anew makes a version where all others wait for the first weights.
TEST(ElasticTest, WithoutRoundsAServerThatStillWaitsForItsFirstWeightsHasLostNothing) {
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {200}}}, 100);
  LocalClusterOptions options;
  options.servers = 2;
  options.consistency.mode = Consistency::kAsync;
  LocalServers servers(options);
  GrpcClusterOptions client = servers.ClientOptions(1);
  client.run = {"run", RunClaim::kNamed};  // so that a new process takes the rank at once
  for (client.incarnation = 1; client.incarnation <= 3; ++client.incarnation) {
    const absl::StatusOr<std::unique_ptr<GrpcCluster>> joined = GrpcCluster::Join(client, layout);
    ASSERT_TRUE(joined.ok()) << joined.status();
    Push push;
    push.bucket = 1;
    std::unique_ptr<GrpcCluster> source;
    if (client.incarnation == 1) {  // the first weights, for which all are needed
      source = *GrpcCluster::Join(servers.ClientOptions(0), layout);
      source->Exchange({push}, [](uint32_t, const absl::StatusOr<PushReply>&) {});
    }
    std::promise<absl::Status> answered;
    (*joined)->Exchange({push},
                        [&](uint32_t, const absl::StatusOr<PushReply>& reply) { answered.set_value(reply.status()); });
    EXPECT_EQ(answered.get_future().get(), absl::OkStatus());
  }
}

TEST(ElasticTest, AWorkerThatOneServerTurnsAwayEndsAtOnceAlthoughItsOtherCallsWait) {
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {200}}}, 100);
  for (const bool other_is_away : {false, true}) {
    LocalClusterOptions options;
    options.workers = 2;
    options.servers = 2;
    LocalServers servers(options);
    std::vector<std::unique_ptr<GrpcCluster>> clients;
    std::vector<std::unique_ptr<GradientExchange>> exchanges;
    std::vector<std::vector<float>> weights(2, std::vector<float>(200, 1));
    for (uint32_t rank = 0; rank < 2; ++rank) {
      GrpcClusterOptions client = servers.ClientOptions(rank);
      client.server_timeout = absl::Hours(1);
      clients.push_back(*GrpcCluster::Join(client, layout));
      exchanges.push_back(*MakeHostExchange(layout, {CompressorOptions{}, 1, 0}, clients[rank].get()));
    }
    std::thread other([&] { EXPECT_TRUE(exchanges[1]->Initialise(absl::MakeSpan(weights[1]), false).ok()); });
    EXPECT_TRUE(exchanges[0]->Initialise(absl::MakeSpan(weights[0]), true).ok());
    other.join();
    // Server 1 waits for the other worker, or is tried again for an hour.
    if (other_is_away) servers.server(1).Stop();
    ASSERT_TRUE(servers.server(0).shard().membership().Join(0, UINT64_MAX).ok());
    const absl::Status status = exchanges[0]->Step(weights[0], absl::MakeSpan(weights[0])).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
}

TEST(ElasticTest, AWorkerThatWaitsAtOneServerHearsFromTheOtherThatItTakesNoPartAnyMore) {
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {200}}}, 100);
  LocalClusterOptions options;
  options.workers = 2;
  options.servers = 2;
  options.lease = absl::Seconds(1);
  LocalServers servers(options);
  const auto client = *GrpcCluster::Join(servers.ClientOptions(0), layout);
  Push push;
  push.bucket = 1;
  std::promise<absl::Status> answered;
  client->Exchange({push},
                   [&](uint32_t, const absl::StatusOr<PushReply>& reply) { answered.set_value(reply.status()); });
  ASSERT_TRUE(servers.server(0).shard().membership().Join(0, UINT64_MAX).ok());
  const absl::Status status = answered.get_future().get();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(std::string(status.message()).find(servers.addresses()[0] + ": another process holds rank 0"),
            std::string::npos)
      << status;
}

TEST(ElasticTest, AWorkerDiesTheRestGoOnAndANewOneJoins) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(2, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 2;
  options.servers = 2;
  options.lease = absl::Milliseconds(600);
  options.optimizer = PlainSgd(/*lr=*/0.05);
  options.push = options.publish = TopK(0.2);
  LocalServers servers(options);

  struct Worker {
    std::vector<float> weights;
    std::unique_ptr<GrpcCluster> client;
    std::unique_ptr<GradientExchange> exchange;
  };
  const auto start = [&](uint32_t rank) {
    Worker worker;
    worker.weights = Noise(layout.total_elements(), 7);
    worker.client = *GrpcCluster::Join(servers.ClientOptions(rank), layout);
    worker.exchange = *MakeHostExchange(layout, {options.push, 1, 0}, worker.client.get());
    return worker;
  };
  const auto run = [&](Worker& worker, uint32_t rank, int steps) {
    std::vector<float> gradient(layout.total_elements());
    for (int i = 0; i < steps; ++i) {
      problem.gradient()(rank, 0, worker.weights, absl::MakeSpan(gradient));
      const absl::StatusOr<StepTraffic> traffic = worker.exchange->Step(gradient, absl::MakeSpan(worker.weights));
      ASSERT_TRUE(traffic.ok()) << traffic.status();
    }
  };

  Worker first = start(0);
  {
    Worker second = start(1);
    std::thread other([&] {
      ASSERT_TRUE(second.exchange->Initialise(absl::MakeSpan(second.weights), false).ok());
      run(second, 1, 20);
    });
    ASSERT_TRUE(first.exchange->Initialise(absl::MakeSpan(first.weights), true).ok());
    run(first, 0, 20);
    other.join();
    EXPECT_EQ(first.weights, second.weights);
  }  // the second worker dies without a word

  run(first, 0, 20);  // once the lease is over; before, it would wait for ever

  Worker third = start(1);
  EXPECT_GT(third.client->version(), 1u);
  ASSERT_TRUE(third.exchange->CatchUp(absl::MakeSpan(third.weights)).ok());
  EXPECT_EQ(third.weights, first.weights);
  std::thread other([&] { run(third, 1, 300); });
  run(first, 0, 300);
  other.join();
  EXPECT_EQ(third.weights, first.weights);
  EXPECT_LT(problem.DistanceFromMinimum(first.weights), 0.05);
}

}  // namespace
}  // namespace cddp
