// Servers and workers together, in one process: what the design's guarantees say of a whole cluster.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <thread>

#include "common/transport/protocol.h"
#include "tests/integration/local_cluster.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {
namespace {

CompressorOptions TopK(double ratio, ValueEncoding values = ValueEncoding::kFp16) {
  CompressorOptions options;
  options.ratio = ratio;
  options.value_encoding = values;
  return options;
}

OptimizerOptions PlainSgd(double lr) {
  OptimizerOptions options;
  options.lr.base = lr;
  options.momentum = 0;
  return options;
}

ParameterLayout Layout() {
  return *ParameterLayout::Create({{"fc1.weight", {60, 50}}, {"fc1.bias", {60}}, {"fc2.weight", {10, 60}}}, 512);
}

std::vector<float> Noise(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Worker r pulls towards its own target; the minimum of the sum is the mean of the targets.
class Quadratic {
 public:
  Quadratic(uint32_t workers, size_t count) : curvature_(Noise(count, 99)) {
    for (uint32_t rank = 0; rank < workers; ++rank) targets_.push_back(Noise(count, rank));
    for (float& c : curvature_) c = 0.5f + std::abs(c);
  }

  GradientFunction gradient() const {
    return [this](uint32_t rank, uint64_t, absl::Span<const float> weights, absl::Span<float> gradient) {
      for (size_t i = 0; i < weights.size(); ++i) gradient[i] = curvature_[i] * (weights[i] - targets_[rank][i]);
    };
  }

  double DistanceFromMinimum(const std::vector<float>& weights) const {
    double squares = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      double mean = 0;
      for (const std::vector<float>& target : targets_) mean += target[i] / static_cast<double>(targets_.size());
      squares += (weights[i] - mean) * (weights[i] - mean);
    }
    return std::sqrt(squares / static_cast<double>(weights.size()));
  }

 private:
  std::vector<float> curvature_;
  std::vector<std::vector<float>> targets_;
};

struct Shape {
  uint32_t servers;
  uint32_t workers;
};
class ClusterShapeTest : public ::testing::TestWithParam<Shape> {};

// LibTorch's threads round denormals to zero. The exchange must not: half-precision changes below 2^-14 pass through
// them, and the replica would miss every such change.
TEST(ClusterTest, ReplicasAreThePublishedWeightsWhereTrainingFlushesDenormals) {
  LocalClusterOptions options;
  options.optimizer = PlainSgd(1e-5);
  options.push = TopK(0.1);
  options.publish = TopK(0.1);
  options.flush_denormals = true;
  const ParameterLayout layout = Layout();
  const Quadratic quadratic(options.workers, layout.total_elements());
  RunLocalCluster(options, layout, Noise(layout.total_elements(), 7), 20, quadratic.gradient());
}

TEST_P(ClusterShapeTest, ConvergesOnAQuadraticCompressedBothWays) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(GetParam().workers, layout.total_elements());
  LocalClusterOptions options;
  options.servers = GetParam().servers;
  options.workers = GetParam().workers;
  options.optimizer = PlainSgd(/*lr=*/0.01);
  options.push = options.publish = TopK(0.05);
  const LocalRun run = RunLocalCluster(options, layout, Noise(layout.total_elements(), 7), 1500, problem.gradient());
  EXPECT_LT(problem.DistanceFromMinimum(run.weights), 0.05);
  EXPECT_LT(run.last_traffic.pushed_bytes, layout.total_elements() * 4 / 15);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ClusterShapeTest, ::testing::Values(Shape{1, 1}, Shape{2, 4}, Shape{3, 5}),
                         [](const auto& info) {
                           return std::to_string(info.param.servers) + "x" + std::to_string(info.param.workers);
                         });

TEST(ClusterTest, DenseTrainingEqualsPlainSgdBitForBit) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(1, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 1;
  options.push = options.publish = TopK(1, ValueEncoding::kFp32);
  const std::vector<float> initial = Noise(layout.total_elements(), 7);
  const LocalRun run = RunLocalCluster(options, layout, initial, 20, problem.gradient());

  std::vector<float> weights = initial;
  std::vector<float> momentum(weights.size());
  std::vector<float> gradient(weights.size());
  for (uint64_t step = 1; step <= 20; ++step) {
    problem.gradient()(0, step, weights, absl::MakeSpan(gradient));
    for (size_t i = 0; i < weights.size(); ++i) {
      momentum[i] = 0.9f * momentum[i] + gradient[i];
      weights[i] += -0.05f * momentum[i];
    }
  }
  EXPECT_EQ(run.weights, weights);
}

// The processors on which threads made from now on may run, until the end of the object.
class OnOneProcessor {
 public:
  OnOneProcessor() {
    EXPECT_EQ(sched_getaffinity(0, sizeof before_, &before_), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
      if (CPU_ISSET(cpu, &before_)) CPU_SET(cpu, &one);
    }
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  }
  ~OnOneProcessor() { sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

class DeterminismTest : public ::testing::TestWithParam<OptimizerKind> {};

TEST_P(DeterminismTest, NeitherServersNorProcessorsNorArrivalChangeABit) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(4, layout.total_elements());
  const std::vector<float> initial = Noise(layout.total_elements(), 7);
  LocalClusterOptions options;
  options.workers = 4;
  options.push = options.publish = TopK(0.02);
  options.small_tensor_elements = 100;
  options.optimizer.weight_decay = 1e-3;
  options.optimizer.kind = GetParam();
  for (bool nesterov : {false, true}) {
    if (nesterov && GetParam() != OptimizerKind::kSgd) continue;
    options.optimizer.nesterov = nesterov;
    options.publish.ratio = nesterov ? 0.02 : kPublishAllPushed;
    std::optional<std::vector<float>> expected;
    for (uint32_t servers : {1, 2, 3}) {
      for (bool one_processor : {false, true}) {
        std::optional<OnOneProcessor> affinity;
        if (one_processor) affinity.emplace();
        options.servers = servers;
        const uint32_t seed = 2 * servers + one_processor;
        const auto gradient = [&](uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> to) {
          problem.gradient()(rank, step, weights, to);
          // Another order of arrival in each run and step.
          for (uint32_t wait = std::mt19937(seed * 1000 + step * 10 + rank)() % 64; wait > 0; --wait) {
            std::this_thread::yield();
          }
        };
        const std::vector<float> weights = RunLocalCluster(options, layout, initial, 30, gradient).weights;
        if (!expected.has_value()) expected = weights;
        EXPECT_EQ(weights, *expected) << servers << " servers, one processor: " << one_processor;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, DeterminismTest,
                         ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdam, OptimizerKind::kAdamW),
                         [](const auto& info) { return AbslUnparseFlag(info.param); });

TEST(ClusterTest, WhatWasSentPlusTheResidualIsWhatWasFedIn) {
  // Plain SGD with lr 1 and dense publishing: the weights move by minus the mean of all that was sent.
  const ParameterLayout layout = Layout();
  constexpr uint32_t kWorkers = 3;
  constexpr uint64_t kSteps = 25;
  std::vector<double> fed(layout.total_elements());
  for (uint32_t rank = 0; rank < kWorkers; ++rank) {
    for (uint64_t step = 1; step <= kSteps; ++step) {
      const std::vector<float> gradient = Noise(fed.size(), rank * 1000 + static_cast<uint32_t>(step));
      for (size_t i = 0; i < fed.size(); ++i) fed[i] += gradient[i];
    }
  }
  LocalClusterOptions options;
  options.workers = kWorkers;
  options.servers = 2;
  options.optimizer = PlainSgd(/*lr=*/1);
  options.push = TopK(0.03);
  options.publish = TopK(1, ValueEncoding::kFp32);
  const LocalRun run = RunLocalCluster(options, layout, std::vector<float>(fed.size()), kSteps,
                                       [&](uint32_t rank, uint64_t step, auto, absl::Span<float> gradient) {
                                         const std::vector<float> noise =
                                             Noise(fed.size(), rank * 1000 + static_cast<uint32_t>(step));
                                         std::copy(noise.begin(), noise.end(), gradient.begin());
                                       });
  for (size_t i = 0; i < fed.size(); ++i) {
    double held = 0;
    for (const std::vector<float>& residual : run.residuals) held += residual[i];
    ASSERT_NEAR(-run.weights[i] * double{kWorkers} + held, fed[i], 1e-3) << "element " << i;
  }
}

TEST(ClusterTest, ANonFiniteGradientIsRefusedEverywhereAndTrainingGoesOn) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(3, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 3;
  options.servers = 2;
  options.optimizer = PlainSgd(/*lr=*/0.1);
  options.push = TopK(1, ValueEncoding::kFp32);
  options.publish = TopK(1, ValueEncoding::kFp32);
  const auto poisoned = [&](uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> gradient) {
    problem.gradient()(rank, step, weights, gradient);
    if (rank == 1 && step == 3) gradient[700] = std::numeric_limits<float>::quiet_NaN();
  };
  const LocalRun run = RunLocalCluster(options, layout, Noise(layout.total_elements(), 7), 150, poisoned);
  EXPECT_LT(problem.DistanceFromMinimum(run.weights), 0.01);
}

// One worker's step with the gradients becoming ready piece by piece.
StepTraffic StepInPieces(GradientExchange* exchange, absl::Span<const float> gradients, absl::Span<float> weights,
                         std::mt19937* random) {
  exchange->Begin(gradients, weights);
  for (uint64_t ready = gradients.size(); ready > 0;) {
    ready -= 1 + (*random)() % ready;
    exchange->Ready(ready);
    if ((*random)() % 4 == 0) std::this_thread::yield();
  }
  absl::StatusOr<StepTraffic> traffic = exchange->Finish();
  EXPECT_TRUE(traffic.ok()) << traffic.status();
  return traffic.ok() ? *traffic : StepTraffic{};
}

struct Pair {
  explicit Pair(const LocalClusterOptions& options, const ParameterLayout& layout) : servers(options) {
    for (uint32_t rank = 0; rank < 2; ++rank) {
      clients.push_back(*GrpcCluster::Join(servers.ClientOptions(rank), layout));
      exchanges.push_back(*MakeHostExchange(layout, {options.push, 1, 0}, clients.back().get()));
      weights.emplace_back(layout.total_elements());
    }
  }
  // Runs `work` for both ranks at once.
  void Both(const std::function<void(uint32_t rank)>& work) {
    std::thread other([&] { work(1); });
    work(0);
    other.join();
  }

  LocalServers servers;
  std::vector<std::unique_ptr<GrpcCluster>> clients;
  std::vector<std::unique_ptr<GradientExchange>> exchanges;
  std::vector<std::vector<float>> weights;
};

TEST(OverlapTest, PiecesReadyAtAnyTimeGiveTheSameBits) {
  const ParameterLayout layout = Layout();
  const Quadratic problem(2, layout.total_elements());
  const std::vector<float> initial = Noise(layout.total_elements(), 7);
  LocalClusterOptions options;
  options.servers = 2;
  options.push = options.publish = TopK(0.05);
  const LocalRun whole = RunLocalCluster(options, layout, initial, 20, problem.gradient());

  Pair pair(options, layout);
  pair.weights[0] = initial;
  pair.Both([&](uint32_t rank) {
    const absl::Span<float> weights = absl::MakeSpan(pair.weights[rank]);
    ASSERT_TRUE(pair.exchanges[rank]->Initialise(weights, rank == 0).ok());
    std::mt19937 random(rank);
    std::vector<float> gradient(weights.size());
    for (uint64_t step = 1; step <= 20; ++step) {
      problem.gradient()(rank, step, weights, absl::MakeSpan(gradient));
      StepInPieces(pair.exchanges[rank].get(), gradient, weights, &random);
    }
  });
  EXPECT_EQ(pair.weights[0], whole.weights);
  EXPECT_EQ(pair.weights[1], whole.weights);
}

TEST(OverlapTest, ANonFiniteGradientRefusesItsBucketAndThoseNotYetPushed) {
  const ParameterLayout layout = Layout();
  LocalClusterOptions options;
  options.optimizer = PlainSgd(/*lr=*/1);
  options.push = TopK(0.05, ValueEncoding::kFp32);
  options.publish = TopK(1, ValueEncoding::kFp32);
  const uint32_t bad_bucket = 3;
  const ElementRange refused = {0, layout.bucket_range(bad_bucket).end};

  Pair pair(options, layout);
  std::vector<std::vector<float>> gradients = {Noise(layout.total_elements(), 1), Noise(layout.total_elements(), 2)};
  const std::vector<std::vector<float>> finite = gradients;
  gradients[1][refused.end - 7] = std::numeric_limits<float>::infinity();
  pair.Both([&](uint32_t rank) {
    const absl::Span<float> weights = absl::MakeSpan(pair.weights[rank]);
    ASSERT_TRUE(pair.exchanges[rank]->Initialise(weights, rank == 0).ok());
    std::mt19937 random(rank);
    EXPECT_TRUE(StepInPieces(pair.exchanges[rank].get(), gradients[rank], weights, &random).refused);
  });
  EXPECT_EQ(pair.weights[0], pair.weights[1]);
  // Rank 0 had pushed to the refused buckets and has taken back what it sent; so has rank 1, but for the bad bucket.
  const std::vector<float> residual = pair.exchanges[0]->State().engine.residual;
  const std::vector<float> other_residual = pair.exchanges[1]->State().engine.residual;
  for (uint64_t i = 0; i < refused.end; ++i) {
    ASSERT_EQ(pair.weights[0][i], 0) << "element " << i;
    ASSERT_EQ(residual[i], finite[0][i]) << "element " << i;
    const bool is_bad = i >= layout.bucket_range(bad_bucket).begin;
    ASSERT_EQ(other_residual[i], is_bad ? 0 : finite[1][i]) << "element " << i;
  }
  const auto rest = absl::MakeSpan(pair.weights[0]).subspan(refused.end);
  EXPECT_TRUE(std::any_of(rest.begin(), rest.end(), [](float weight) { return weight != 0; }));
}

TEST(OverlapTest, ANonFiniteLossRefusesTheWholeStep) {
  const ParameterLayout layout = Layout();
  LocalClusterOptions options;
  options.push = options.publish = TopK(0.05);
  Pair pair(options, layout);
  const std::vector<float> gradient = Noise(layout.total_elements(), 1);
  pair.Both([&](uint32_t rank) {
    const absl::Span<float> weights = absl::MakeSpan(pair.weights[rank]);
    ASSERT_TRUE(pair.exchanges[rank]->Initialise(weights, rank == 0).ok());
    pair.exchanges[rank]->Begin(gradient, weights, /*refuse=*/rank == 1);
    const absl::StatusOr<StepTraffic> traffic = pair.exchanges[rank]->Finish();
    ASSERT_TRUE(traffic.ok()) << traffic.status();
    EXPECT_TRUE(traffic->refused);
  });
  EXPECT_THAT(pair.weights[0], ::testing::Each(0));
  EXPECT_THAT(pair.weights[1], ::testing::Each(0));
}

TEST(OverlapTest, AStepThatIsGivenUpEndsWithoutTheOthers) {
  const ParameterLayout layout = Layout();
  LocalClusterOptions options;
  options.push = options.publish = TopK(0.05);
  Pair pair(options, layout);
  pair.Both([&](uint32_t rank) {
    ASSERT_TRUE(pair.exchanges[rank]->Initialise(absl::MakeSpan(pair.weights[rank]), rank == 0).ok());
  });
  const std::vector<float> gradient = Noise(layout.total_elements(), 1);
  pair.exchanges[0]->Begin(gradient, absl::MakeSpan(pair.weights[0]));
  pair.exchanges[0]->Ready(layout.total_elements() / 2);
  pair.exchanges[0].reset();  // its calls wait for rank 1, which never contributes
  pair.clients[0].reset();
}

TEST(ClusterTest, ADamagedReplicaIsFoundAndReplaced) {
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
    const absl::Status status = client->ReadSnapshot([&](uint32_t bucket, uint64_t, absl::Span<const float> part) {
      std::copy(part.begin(), part.end(), all.begin() + layout.bucket_range(bucket).begin);
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

class ConsistencyTest : public ::testing::TestWithParam<ConsistencyOptions> {};

TEST_P(ConsistencyTest, ConvergesOnAQuadratic) {
  const ParameterLayout layout = Layout();
  // One target for all: workers of different speed would move the minimum of several.
  const Quadratic problem(1, layout.total_elements());
  LocalClusterOptions options;
  options.workers = 4;
  options.servers = 2;
  options.consistency = GetParam();
  options.optimizer = PlainSgd(/*lr=*/0.01);
  options.push = options.publish = TopK(0.05);
  const LocalRun run = RunLocalCluster(
      options, layout, Noise(layout.total_elements(), 7), 1000,
      [&](uint32_t, uint64_t step, auto weights, auto gradient) { problem.gradient()(0, step, weights, gradient); });
  EXPECT_LT(problem.DistanceFromMinimum(run.weights), 0.05);
}

INSTANTIATE_TEST_SUITE_P(Modes, ConsistencyTest,
                         ::testing::Values(ConsistencyOptions{Consistency::kStale, 0, 4},
                                           ConsistencyOptions{Consistency::kAsync, 0, 0},
                                           ConsistencyOptions{Consistency::kSync, 3, 0}),
                         [](const auto& info) {
                           return AbslUnparseFlag(info.param.mode) + (info.param.quorum != 0 ? "_quorum" : "");
                         });

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
  mixed.addresses = anew.addresses();
  EXPECT_TRUE(GrpcCluster::Join(mixed, layout).ok()) << "all are new";
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

  const absl::Time death = absl::Now();
  run(first, 0, 20);
  EXPECT_LT(absl::Now() - death, options.lease + absl::Seconds(5));

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
