// A step whose gradients become ready piece by piece while buckets are pushed, beside one whose gradients are there at
// once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <thread>

#include "tests/integration/quadratic.h"
#include "worker/buckets/host_buckets.h"

namespace cddp {
namespace {

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

TEST(StepPiecesTest, PiecesReadyAtAnyTimeGiveTheSameBits) {
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

TEST(StepPiecesTest, ANonFiniteGradientRefusesItsBucketAndThoseNotYetPushed) {
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

TEST(StepPiecesTest, ANonFiniteLossRefusesTheWholeStep) {
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

TEST(StepPiecesTest, AStepThatIsGivenUpEndsWithoutTheOthers) {
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

}  // namespace
}  // namespace cddp
