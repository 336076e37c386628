// The exchange over fake servers that answer in any order, with the host's engine and with one that completes later on
// another thread. The results must not depend on any of this.

#include "worker/exchange/gradient_exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/unit/cuda/emulated_device.h"
#include "tests/unit/exchange/async_buckets.h"
#include "tests/unit/exchange/fake_cluster.h"
#include "worker/buckets/checked_buckets.h"
#include "worker/buckets/host_buckets.h"
#include "worker/cuda/device_buckets.h"

namespace cddp {
namespace {

constexpr uint32_t kWorkers = 3;

ParameterLayout Layout() { return *ParameterLayout::Create({{"a", {700}}, {"b", {10}}, {"c", {413}}}, 128); }

GradientCompressorOptions Options() {
  GradientCompressorOptions options;
  options.compressor.ratio = 0.1;
  options.compressor.value_encoding = ValueEncoding::kInt4;
  return options;
}

struct Setting {
  uint64_t seed = 1;
  double repeated = 0;
  uint32_t async_encodings = 0;  // 0: the host's engine
  bool on_device = false;        // the engine of GPUs, on an emulated one
  bool checked = false;          // the host's engine beside it
  GradientCompressorOptions options = Options();
  uint32_t bad_rank = kWorkers;  // whose gradient is not finite in every fourth step
};

// *device is set where there is one: what it was asked for is done once it is drained.
std::unique_ptr<BucketEngine> MakeUncheckedEngine(const Setting& setting, uint32_t rank, EmulatedDevice** device) {
  if (setting.on_device) {
    return *DeviceBuckets::Create(Layout(), setting.options, kWorkers, MakeEmulatedDevice(device));
  }
  std::unique_ptr<BucketEngine> host = *HostBuckets::Create(Layout(), setting.options, kWorkers);
  if (setting.async_encodings == 0) return host;
  return std::make_unique<AsyncBuckets>(std::move(host), setting.async_encodings, setting.seed + rank);
}

std::unique_ptr<BucketEngine> MakeEngine(const Setting& setting, uint32_t rank, EmulatedDevice** device = nullptr) {
  std::unique_ptr<BucketEngine> engine = MakeUncheckedEngine(setting, rank, device);
  if (!setting.checked) return engine;
  return std::make_unique<CheckedBuckets>(Layout(), std::move(engine),
                                          *HostBuckets::Create(Layout(), setting.options, kWorkers),
                                          [](absl::Span<const float> from, absl::Span<float> to) {
                                            std::copy(from.begin(), from.end(), to.begin());
                                            return absl::OkStatus();
                                          });
}

std::vector<float> GradientOf(uint32_t rank, uint64_t step, absl::Span<const float> weights) {
  std::mt19937 random(static_cast<uint32_t>(1000 * rank + step));
  std::normal_distribution<float> normal;
  std::vector<float> gradient(weights.begin(), weights.end());
  for (float& value : gradient) value += normal(random);
  return gradient;
}

struct Outcome {
  std::vector<std::vector<float>> weights;  // by rank
  std::vector<BucketEngineState> states;    // likewise
  int refused = 0;                          // steps of rank 0
};

// `steps` steps of all workers, whose gradients become ready piece by piece.
Outcome Train(const Setting& setting, uint64_t steps) {
  FakeServersOptions options;
  options.workers = kWorkers;
  options.seed = setting.seed;
  options.repeated = setting.repeated;
  FakeServers servers(Layout(), options);
  Outcome outcome;
  outcome.weights.assign(kWorkers, std::vector<float>(Layout().total_elements(), 0.5f));
  outcome.states.resize(kWorkers);
  const auto work = [&](uint32_t rank) {
    std::mt19937 pieces(static_cast<uint32_t>(setting.seed + rank));
    const std::unique_ptr<Cluster> cluster = servers.Connect(rank);
    EmulatedDevice* device = nullptr;
    GradientExchange exchange(Layout(), MakeEngine(setting, rank, &device), cluster.get());
    const absl::Span<float> weights = absl::MakeSpan(outcome.weights[rank]);
    ASSERT_TRUE(exchange.Initialise(weights, rank == 0).ok());
    while (exchange.step() <= steps) {
      if (device != nullptr) device->Drain();
      std::vector<float> gradient = GradientOf(rank, exchange.step(), weights);
      if (rank == setting.bad_rank && exchange.step() % 4 == 0) {
        gradient[500] = std::numeric_limits<float>::quiet_NaN();
      }
      exchange.Begin(gradient, weights);
      for (uint64_t ready = gradient.size(); ready > 0;) {
        ready -= std::min<uint64_t>(ready, pieces() % 400);
        exchange.Ready(ready);
      }
      const absl::StatusOr<StepTraffic> traffic = exchange.Finish();
      ASSERT_TRUE(traffic.ok()) << traffic.status();
      EXPECT_EQ(traffic->missed, 0u);
      if (rank == 0) outcome.refused += traffic->refused;
    }
    if (device != nullptr) device->Drain();
    outcome.states[rank] = exchange.State().engine;
  };
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < kWorkers; ++rank) threads.emplace_back(work, rank);
  for (std::thread& thread : threads) thread.join();
  for (uint32_t rank = 0; rank < kWorkers; ++rank) EXPECT_EQ(outcome.weights[rank], servers.weights());
  return outcome;
}

TEST(GradientExchangeTest, TheOrderOfAnswersChangesNothing) {
  const Outcome expected = Train({}, 12);
  for (uint64_t seed = 2; seed < 8; ++seed) {
    Setting setting;
    setting.seed = seed;
    setting.repeated = 0.3;
    const Outcome outcome = Train(setting, 12);
    EXPECT_EQ(outcome.weights, expected.weights) << "seed " << seed;
    EXPECT_EQ(outcome.states, expected.states) << "seed " << seed;
  }
}

TEST(GradientExchangeTest, AnEngineThatCompletesInAnyOrderOnAnotherThreadGivesTheSameBits) {
  GradientCompressorOptions clipped = Options();
  clipped.clip_norm = 5;
  clipped.momentum_correction = 0.5;
  for (const GradientCompressorOptions& options : {Options(), clipped}) {
    for (uint32_t bad_rank : {kWorkers, 1u}) {
      Setting setting;
      setting.options = options;
      setting.bad_rank = bad_rank;
      const Outcome expected = Train(setting, 12);
      EXPECT_EQ(expected.refused, bad_rank == kWorkers ? 0 : 3);
      for (uint32_t encodings : {1u, 3u, 100u}) {
        setting.async_encodings = encodings;
        setting.seed = encodings;
        setting.checked = encodings == 3;
        const Outcome outcome = Train(setting, 12);
        EXPECT_EQ(outcome.weights, expected.weights) << encodings << " encodings at a time, bad rank " << bad_rank;
        EXPECT_EQ(outcome.states, expected.states);
      }
      setting.on_device = true;
      setting.checked = false;
      const Outcome outcome = Train(setting, 12);
      EXPECT_EQ(outcome.weights, expected.weights) << "on a device, bad rank " << bad_rank;
      EXPECT_EQ(outcome.states, expected.states);
    }
  }
}

// One worker against its own servers.
struct Alone {
  explicit Alone(FakeServersOptions options = {}, uint32_t async_encodings = 0)
      : servers(Layout(), options), cluster(servers.Connect(0)), weights(Layout().total_elements(), 0.5f) {
    Setting setting;
    setting.async_encodings = async_encodings;
    exchange = std::make_unique<GradientExchange>(Layout(), MakeEngine(setting, 0), cluster.get());
  }

  FakeServers servers;
  std::unique_ptr<Cluster> cluster;
  std::vector<float> weights;
  std::unique_ptr<GradientExchange> exchange;
};

TEST(GradientExchangeTest, AFailedCallEndsTheStepWithItsError) {
  for (uint32_t encodings : {0u, 4u}) {
    Alone alone({}, encodings);
    ASSERT_TRUE(alone.exchange->Initialise(absl::MakeSpan(alone.weights), true).ok());
    alone.servers.Fail(absl::UnavailableError("server 1 was out of reach for 60s"));
    const std::vector<float> gradient = GradientOf(0, 1, alone.weights);
    const absl::Status status = alone.exchange->Step(gradient, absl::MakeSpan(alone.weights)).status();
    EXPECT_EQ(status, absl::UnavailableError("server 1 was out of reach for 60s"));
  }
}

TEST(GradientExchangeTest, AnErrorOfOneServerEndsTheCallsToOthersWhoseRoundsWaitForWorkersThatDoNotCome) {
  FakeServersOptions options;
  options.workers = 2;
  const absl::Status error = absl::FailedPreconditionError("the server has lost its state");
  for (uint32_t encodings : {0u, 4u}) {
    Alone alone(options, encodings);
    alone.servers.Retire(1);
    ASSERT_TRUE(alone.exchange->Initialise(absl::MakeSpan(alone.weights), true).ok());
    alone.servers.Await(1);
    alone.servers.FailServer(1, error);
    const std::vector<float> gradient = GradientOf(0, 1, alone.weights);
    EXPECT_EQ(alone.exchange->Step(gradient, absl::MakeSpan(alone.weights)).status(), error);
  }
  Alone alone(options);
  alone.servers.FailServer(1, error);
  EXPECT_EQ(alone.exchange->Initialise(absl::MakeSpan(alone.weights), true), error);
}

TEST(GradientExchangeTest, InitialisingAndCatchingUpFailWithTheClustersError) {
  Alone alone;
  alone.servers.Fail(absl::FailedPreconditionError("rank 0 was taken over"));
  EXPECT_EQ(alone.exchange->Initialise(absl::MakeSpan(alone.weights), true),
            absl::FailedPreconditionError("rank 0 was taken over"));
  EXPECT_EQ(alone.exchange->CatchUp(absl::MakeSpan(alone.weights)),
            absl::FailedPreconditionError("rank 0 was taken over"));
}

TEST(GradientExchangeTest, DestroyedInTheMiddleOfAStepItDoesNotWaitForAnswers) {
  for (uint32_t encodings : {0u, 4u}) {
    Alone alone({}, encodings);
    ASSERT_TRUE(alone.exchange->Initialise(absl::MakeSpan(alone.weights), true).ok());
    alone.servers.Hold();
    const std::vector<float> gradient(alone.weights.size(), 1.0f);
    alone.exchange->Begin(gradient, absl::MakeSpan(alone.weights));
    alone.exchange->Ready(300);
    alone.exchange.reset();
    alone.servers.Fail(absl::CancelledError("the worker has gone"));  // answers that nobody awaits any more
  }
}

TEST(GradientExchangeTest, ALateWorkerCatchesUpAtTheVersionOfTheOthers) {
  FakeServersOptions options;
  options.workers = 2;
  FakeServers servers(Layout(), options);
  servers.Retire(1);
  std::vector<float> weights(Layout().total_elements(), 0.5f);
  const std::unique_ptr<Cluster> cluster = servers.Connect(0);
  GradientExchange first(Layout(), MakeEngine({}, 0), cluster.get());
  ASSERT_TRUE(first.Initialise(absl::MakeSpan(weights), true).ok());
  for (int step = 0; step < 5; ++step) {
    ASSERT_TRUE(first.Step(GradientOf(0, first.step(), weights), absl::MakeSpan(weights)).ok());
  }
  const std::unique_ptr<Cluster> late = servers.Connect(1);
  GradientExchange second(Layout(), MakeEngine({}, 1), late.get());
  std::vector<float> joined(weights.size());
  ASSERT_TRUE(second.CatchUp(absl::MakeSpan(joined)).ok());
  EXPECT_EQ(second.step(), 6u);
  EXPECT_EQ(joined, weights);
}

TEST(GradientExchangeTest, RanksThatAreAVersionApartMeetAtOneVersion) {
  Alone alone;
  ASSERT_TRUE(alone.exchange->Initialise(absl::MakeSpan(alone.weights), true).ok());
  // A process that dies in the middle of a step has pushed the last buckets alone.
  const uint32_t last = Layout().bucket_count() - 1;
  Push push;
  push.bucket = last;
  push.step = push.base_version = 1;
  alone.cluster->Exchange({push}, [](uint32_t, const absl::StatusOr<PushReply>&) {});
  ASSERT_EQ(alone.servers.version(last), 2u);
  ASSERT_EQ(alone.servers.version(0), 1u);
  ASSERT_TRUE(alone.exchange->CatchUp(absl::MakeSpan(alone.weights)).ok());
  EXPECT_EQ(alone.exchange->step(), 2u);
  for (uint32_t bucket = 0; bucket <= last; ++bucket) EXPECT_EQ(alone.servers.version(bucket), 2u);
  EXPECT_EQ(alone.weights, alone.servers.weights());
}

TEST(GradientExchangeTest, AStateOfAnotherModelIsRefused) {
  Alone alone;
  ExchangeState state = alone.exchange->State();
  state.versions.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(alone.exchange->SetState(state)));
}

}  // namespace
}  // namespace cddp
