#include "deploy/plan/step_simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deploy/plan/memory_needs.h"
#include "deploy/plan/scaling_study.h"

namespace cddp::plan {
namespace {

constexpr double kNothing = 1e-9;

// Costs of nothing but the bytes of updates, so that steps can be counted by hand.
CostConstants WireAlone() {
  CostConstants costs;
  costs.compress_ns = costs.round_ns = costs.entry_ns = costs.line_ns = costs.message_us = costs.byte_ns = kNothing;
  costs.message_bytes = costs.message_latency_ms = costs.step_ms = kNothing;
  costs.wire_factor = costs.goodput = 1;
  return costs;
}

ClusterSetting Dense(uint32_t workers, uint32_t servers) {
  ClusterSetting setting;
  setting.workers = workers;
  setting.servers = servers;
  setting.push_ratio = setting.publish_ratio = 1;
  setting.values = ValueEncoding::kFp32;
  setting.bits_per_second = 8e6;  // a byte a microsecond
  setting.compute_ms = 1000;
  return setting;
}

double StepMs(const ClusterSetting& setting, const std::vector<Bucket>& buckets, const CostConstants& costs) {
  const absl::StatusOr<StepForecast> forecast = Simulate(setting, buckets, costs);
  EXPECT_TRUE(forecast.ok()) << forecast.status();
  return forecast.ok() ? forecast->step_ms : 0;
}

TEST(StepSimulationTest, OneServersLinkCarriesThePushesAndAnswersOfAllWorkers) {
  // 250,000 elements: a second on the wire. Answers leave one after the other, so the next pushes come at such times;
  // between a worker's answer and its next one lie its pass, its push and three answers.
  EXPECT_NEAR(StepMs(Dense(3, 1), {{250'000, 1}}, WireAlone()), 1000 + 1000 + 3000, 1);
}

TEST(StepSimulationTest, WhatIsReadyEarlyIsHiddenBehindTheRestOfThePass) {
  const double hidden = StepMs(Dense(1, 1), {{12'500, 1}, {12'500, 0.25}}, WireAlone());
  const double exposed = StepMs(Dense(1, 1), {{12'500, 1}, {12'500, 1}}, WireAlone());
  EXPECT_NEAR(hidden, 1000 + 100, 1);
  EXPECT_NEAR(exposed, 1000 + 150, 1);  // both directions at a time
}

TEST(StepSimulationTest, AServerBesideItsWorkerTalksToItForNothing) {
  EXPECT_NEAR(StepMs(Dense(1, 0), {{250'000, 1}}, WireAlone()), 1000, 1);
  // Each of two servers gets one push and sends one answer over a link.
  EXPECT_NEAR(StepMs(Dense(2, 0), {{125'000, 1}, {125'000, 1}}, WireAlone()), 1000 + 500 + 500, 1);
}

TEST(StepSimulationTest, LocalStepsShareAnExchange) {
  ClusterSetting setting = Dense(1, 1);
  setting.local_steps = 4;
  EXPECT_NEAR(StepMs(setting, {{125'000, 1}}, WireAlone()), (4000 + 1000) / 4.0, 1);
}

TEST(StepSimulationTest, CoresAreSharedWhereTheHostsAreOneMachine) {
  CostConstants costs = WireAlone();
  costs.compress_ns = 1e6;  // a second for 1000 elements
  ClusterSetting setting = Dense(4, 0);
  EXPECT_NEAR(StepMs(setting, {{1000, 1}, {1000, 1}, {1000, 1}, {1000, 1}}, costs), 1000 + 4000, 50);
  setting.shared_cores = 2;
  EXPECT_NEAR(StepMs(setting, {{1000, 1}, {1000, 1}, {1000, 1}, {1000, 1}}, costs), 1000 + 8000, 50);
}

TEST(StepSimulationTest, ATreeRelievesTheServersLink) {
  ClusterSetting setting = Dense(100, 1);
  EXPECT_NEAR(StepMs(setting, {{2500, 1}}, WireAlone()), 1000 + 10 + 100 * 10, 20);
  setting.tree = 10;
  const double tree = StepMs(setting, {{2500, 1}}, WireAlone());
  EXPECT_GT(tree, 1000 + 2 * 10 * 10) << "an aggregator's copies and the server's answers, ten each";
  EXPECT_LT(tree, 1000 + 4 * 10 * 10);
}

TEST(StepSimulationTest, RefusesWhatMakesNoSense) {
  const auto refused = [](auto change) {
    ClusterSetting setting = Dense(4, 1);
    change(&setting);
    return Simulate(setting, {{1000, 1}}, WireAlone()).status().code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](ClusterSetting* s) { s->workers = 0; }));
  EXPECT_TRUE(refused([](ClusterSetting* s) { s->workers = 4'000'000; }));
  EXPECT_TRUE(refused([](ClusterSetting* s) { s->servers = 2; })) << "more servers than buckets";
  EXPECT_TRUE(refused([](ClusterSetting* s) { s->bits_per_second = 0; }));
  EXPECT_TRUE(refused([](ClusterSetting* s) { s->push_ratio = 1.5; }));
  EXPECT_TRUE(refused([](ClusterSetting* s) { s->local_steps = 0; }));
}

TEST(MemoryNeedsTest, AServerHoldsItsShardAndTheRoundsPushes) {
  ClusterSetting setting;
  setting.workers = 10;
  setting.push_ratio = 1;
  setting.values = ValueEncoding::kFp32;
  const std::vector<Bucket> buckets(10, Bucket{10'000'000, 1});
  const double one = NeedsOf(setting, buckets, 1, 1).server_bytes;
  const double five = NeedsOf(setting, buckets, 5, 1).server_bytes;
  EXPECT_NEAR(one - five, 80e6 * (12 + 4 * 10), 1e6);
  EXPECT_NEAR(NeedsOf(setting, buckets, 1, 2).server_bytes - one, 100e6 * 4, 1e6);
}

TEST(ScalingStudyTest, SaysWhereOneServerStopsAndThatMoreShardsHelp) {
  ClusterSetting setting;
  setting.servers = 1;
  setting.bits_per_second = 1e9;
  setting.compute_ms = 100;
  setting.values = ValueEncoding::kFp16;
  const auto study = StudyScaling(setting, EvenModel(1'000'000), 100'000, 1000, WireAlone());
  ASSERT_TRUE(study.ok()) << study.status();
  // 31 kB a push: with n workers the server's link is busy for 2 * n * 0.25 ms.
  EXPECT_EQ(study->growth.back().workers, 1000u);
  EXPECT_EQ(study->growth.back().forecast.limit, Limit::kServerLink);
  EXPECT_GT(study->stops_at, 8u);
  EXPECT_LT(study->stops_at, 1000u);
  EXPECT_LT(study->remedies.front().forecast.step_ms, study->growth.back().forecast.step_ms / 3);
  for (size_t i = 1; i < study->remedies.size(); ++i) {
    EXPECT_LE(study->remedies[i - 1].forecast.step_ms, study->remedies[i].forecast.step_ms);
  }
}

}  // namespace
}  // namespace cddp::plan
