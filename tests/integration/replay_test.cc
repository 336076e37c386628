// Workers that come back: from a checkpoint, through the same weights as the first time; or as a new process, at one
// version, whatever the moment.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/integration/local_cluster.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {
namespace {

constexpr uint32_t kWorkers = 2;

ParameterLayout Layout() { return *ParameterLayout::Create({{"a", {60, 50}}, {"b", {60}}, {"c", {10, 60}}}, 512); }

void Gradient(uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> gradient) {
  std::mt19937 random(static_cast<uint32_t>(1000 * rank + step));
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = weights[i] + normal(random);
}

LocalClusterOptions Options(double publish_ratio = kPublishAllPushed) {
  LocalClusterOptions options;
  options.workers = kWorkers;
  options.servers = 2;
  options.push.ratio = 0.05;
  options.publish.ratio = publish_ratio;
  // An average, of which all that was pushed is published; with momentum, as much as was.
  options.optimizer.momentum = publish_ratio == kPublishAllPushed ? 0 : 0.9;
  options.log_versions = 100;
  return options;
}

// One process's life.
struct Worker {
  Worker(const LocalServers& servers, uint32_t rank)
      : rank(rank),
        weights(Layout().total_elements(), 0.5F),
        client(*GrpcCluster::Join(servers.ClientOptions(rank), Layout())) {
    CompressorOptions push;
    push.ratio = 0.05;
    exchange = *MakeHostExchange(Layout(), {push, 1, 0}, client.get());
  }

  void Initialise() { ASSERT_TRUE(exchange->Initialise(absl::MakeSpan(weights), rank == 0).ok()); }
  void CatchUp() {
    const absl::Status status = exchange->CatchUp(absl::MakeSpan(weights));
    ASSERT_TRUE(status.ok()) << status;
  }
  StepTraffic Step() {
    std::vector<float> gradient(weights.size());
    Gradient(rank, exchange->step(), weights, absl::MakeSpan(gradient));
    const absl::StatusOr<StepTraffic> traffic = exchange->Step(gradient, absl::MakeSpan(weights));
    EXPECT_TRUE(traffic.ok()) << traffic.status();
    return traffic.ok() ? *traffic : StepTraffic{};
  }
  void StepsUntil(uint64_t step) {
    while (exchange->step() < step && !::testing::Test::HasFailure()) Step();
  }

  uint32_t rank;
  std::vector<float> weights;
  std::unique_ptr<GrpcCluster> client;
  std::unique_ptr<GradientExchange> exchange;  // after client: uses it
};

void Both(const std::function<void(uint32_t rank)>& work) {
  std::thread other([&] { work(1); });
  work(0);
  other.join();
}

// What a checkpoint holds of a worker.
struct Saved {
  ExchangeState exchange;
  std::vector<float> weights;
};
Saved Save(const Worker& worker) { return {worker.exchange->State(), worker.weights}; }
std::unique_ptr<Worker> Restart(const LocalServers& servers, uint32_t rank, const Saved& saved) {
  auto worker = std::make_unique<Worker>(servers, rank);
  worker->weights = saved.weights;
  EXPECT_TRUE(worker->exchange->SetState(saved.exchange).ok());
  return worker;
}

// Smallest and largest version of all buckets.
std::pair<uint64_t, uint64_t> Versions(LocalServers& servers) {
  std::pair<uint64_t, uint64_t> versions = {UINT64_MAX, 0};
  for (uint32_t shard : {0, 1}) {
    const ShardStatus status = servers.server(shard).shard().status();
    versions = {std::min(versions.first, status.min_version), std::max(versions.second, status.max_version)};
  }
  return versions;
}

std::vector<float> Undisturbed(const LocalClusterOptions& options, uint64_t steps) {
  return RunLocalCluster(options, Layout(), std::vector<float>(Layout().total_elements(), 0.5F), steps, Gradient)
      .weights;
}

TEST(ReplayTest, AWorkerThatGoesOnFromAnyCheckpointEndsBitIdentically) {
  constexpr uint64_t kSteps = 60;
  const std::vector<float> expected = Undisturbed(Options(), kSteps);
  LocalServers servers(Options());
  std::vector<std::vector<float>> ends(kWorkers);
  Both([&](uint32_t rank) {
    std::mt19937 random(rank + 5);
    auto worker = std::make_unique<Worker>(servers, rank);
    worker->Initialise();
    std::vector<Saved> saved = {Save(*worker)};
    for (uint64_t step = 1; step <= kSteps && !::testing::Test::HasFailure();) {
      EXPECT_EQ(worker->Step().replaced, 0u);
      step = worker->exchange->step();
      if (random() % 4 == 0) saved.push_back(Save(*worker));
      if (random() % 8 == 0) {
        worker.reset();  // dies without a word
        const Saved& from = saved[saved.size() - 1 - random() % std::min<size_t>(saved.size(), 3)];
        worker = Restart(servers, rank, from);
        step = worker->exchange->step();
      }
    }
    ends[rank] = worker->weights;
  });
  EXPECT_EQ(ends[0], expected);
  EXPECT_EQ(ends[1], expected);
}

TEST(ReplayTest, WhereTheLogIsTooShortTheWeightsAreReplacedAndAllGoesOn) {
  LocalClusterOptions options = Options(/*publish_ratio=*/1);
  options.log_versions = 3;
  LocalServers servers(options);
  std::vector<std::unique_ptr<Worker>> workers;
  for (uint32_t rank : {0, 1}) workers.push_back(std::make_unique<Worker>(servers, rank));
  Both([&](uint32_t rank) { workers[rank]->Initialise(); });
  const Saved saved = Save(*workers[1]);
  Both([&](uint32_t rank) { workers[rank]->StepsUntil(20); });
  workers[1].reset();
  workers[1] = Restart(servers, 1, saved);
  const StepTraffic traffic = workers[1]->Step();
  EXPECT_EQ(traffic.replaced, Layout().bucket_count());
  EXPECT_EQ(workers[1]->exchange->step(), 20u);
  EXPECT_EQ(workers[1]->weights, workers[0]->weights);
  EXPECT_EQ(workers[1]->exchange->State().engine.residual.size(), saved.exchange.engine.residual.size());
  Both([&](uint32_t rank) { workers[rank]->StepsUntil(30); });
  EXPECT_EQ(workers[1]->weights, workers[0]->weights);
}

// Contributes to the open round of one bucket, as a process that dies in the middle of a step.
void Contribute(Worker& worker, uint32_t bucket, bool waits) {
  auto answered = std::make_shared<absl::Notification>();
  worker.client->Exchange({{bucket, worker.exchange->step(), worker.exchange->step(), {}}},
                          [answered](uint32_t, const auto&) { answered->Notify(); });
  if (waits) answered->WaitForNotification();
}

TEST(OneVersionTest, AfterACrashInTheMiddleOfAStepNewWorkersMeetAtOneVersion) {
  LocalServers servers(Options());
  {
    std::vector<std::unique_ptr<Worker>> workers;
    for (uint32_t rank : {0, 1}) workers.push_back(std::make_unique<Worker>(servers, rank));
    Both([&](uint32_t rank) { workers[rank]->Initialise(); });
    Both([&](uint32_t rank) { workers[rank]->StepsUntil(5); });
    // The round of step 5 is complete in two buckets, half complete in one, and not begun in the others.
    Both([&](uint32_t rank) {
      for (uint32_t bucket : {7u, 6u}) Contribute(*workers[rank], bucket, /*waits=*/true);
    });
    Contribute(*workers[0], 5, /*waits=*/false);
  }
  ASSERT_EQ(Versions(servers), std::pair(uint64_t{5}, uint64_t{6}));
  std::vector<std::unique_ptr<Worker>> workers;
  for (uint32_t rank : {0, 1}) workers.push_back(std::make_unique<Worker>(servers, rank));
  Both([&](uint32_t rank) { workers[rank]->CatchUp(); });
  ASSERT_EQ(Versions(servers), std::pair(uint64_t{6}, uint64_t{6}));
  ASSERT_EQ(workers[0]->exchange->step(), 6u);
  ASSERT_EQ(workers[1]->exchange->step(), 6u);
  ASSERT_EQ(workers[0]->weights, workers[1]->weights);
  Both([&](uint32_t rank) { workers[rank]->StepsUntil(12); });
  ASSERT_EQ(Versions(servers), std::pair(uint64_t{12}, uint64_t{12}));
  ASSERT_EQ(workers[0]->weights, workers[1]->weights);
}

TEST(OneVersionTest, AWorkerThatJoinsInTheMiddleOfAStepMeetsTheOthers) {
  LocalServers servers(Options());
  Worker first(servers, 0);
  std::optional<Worker> second(std::in_place, servers, 1);
  Both([&](uint32_t rank) { (rank == 0 ? first : *second).Initialise(); });
  for (int life = 0; life < 8; ++life) {
    const uint64_t step = first.exchange->step();
    std::thread running([&] { first.StepsUntil(step + 4); });
    // Dies with its contribution to some buckets of a step made, to others not.
    second->StepsUntil(step + 2);
    for (uint32_t bucket = 7; bucket > static_cast<uint32_t>(life) % 8; --bucket) Contribute(*second, bucket, false);
    second.reset();
    second.emplace(servers, 1);
    second->CatchUp();
    EXPECT_GE(second->exchange->step(), step + 2);
    second->StepsUntil(step + 4);
    running.join();
    ASSERT_EQ(first.weights, second->weights) << "life " << life;
    ASSERT_EQ(Versions(servers), std::pair(step + 4, step + 4));
  }
}

}  // namespace
}  // namespace cddp
