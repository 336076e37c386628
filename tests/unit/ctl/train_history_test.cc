#include "deploy/ctl/train_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

using ::testing::HasSubstr;

TEST(TrainHistoryTest, AnEpochIsCompleteWhenAllWorkersHaveTold) {
  TrainHistory history(2);
  EpochEvent first = SampleEpoch(0, 1), second = SampleEpoch(1, 1);
  first.train_loss = 0.5;
  second.train_loss = 1;
  second.seconds.exchange = 100;  // waited for the evaluation
  second.pushed_bytes = 7'000'000;
  ASSERT_TRUE(history.Add(second).ok());
  EXPECT_TRUE(history.epochs().empty());
  ASSERT_TRUE(history.Add(SampleEpoch(1, 2)).ok());  // a worker may be ahead
  EXPECT_TRUE(history.epochs().empty());
  ASSERT_TRUE(history.Add(first).ok());
  ASSERT_EQ(history.epochs().size(), 1u);

  const EpochSummary& epoch = history.epochs()[0];
  EXPECT_EQ(epoch.epoch, 1);
  EXPECT_EQ(epoch.steps, 100u);
  EXPECT_DOUBLE_EQ(epoch.train_loss, 0.75);
  EXPECT_DOUBLE_EQ(epoch.test_accuracy, 0.9);
  EXPECT_EQ(epoch.traffic.pushed_bytes, 8'000'000u);
  EXPECT_EQ(epoch.traffic.dense_bytes, 200'000'000u);
  EXPECT_DOUBLE_EQ(epoch.SecondsPerStep().step, 0.02);
  EXPECT_DOUBLE_EQ(epoch.SecondsPerStep().exchange, 0.008);
  EXPECT_DOUBLE_EQ(epoch.seconds.evaluate, 0.5);
}

TEST(TrainHistoryTest, WhoMissedAnEpochDoesNotHoldItsReportForEver) {
  TrainHistory history(2);
  ASSERT_TRUE(history.Add(SampleEpoch(1, 1)).ok());
  for (int epoch = 1; epoch <= 3; ++epoch) ASSERT_TRUE(history.Add(SampleEpoch(0, epoch)).ok());
  EXPECT_EQ(history.epochs().size(), 1u);            // worker 1 may be slow
  ASSERT_TRUE(history.Add(SampleEpoch(1, 4)).ok());  // but was away
  EXPECT_EQ(history.epochs().size(), 3u);
  EXPECT_EQ(history.MissedSteps(1), 200u);
  ASSERT_TRUE(history.Add(SampleEpoch(0, 4)).ok());
  ASSERT_TRUE(history.Add(SampleEpoch(0, 5)).ok());
  EXPECT_EQ(history.epochs().size(), 4u);
  ASSERT_TRUE(history.Add(DoneEvent{1, "1a2b3c4d", 500}).ok());
  EXPECT_EQ(history.epochs().size(), 5u);
  EXPECT_EQ(history.MissedSteps(0), 0u);
}

TEST(TrainHistoryTest, Totals) {
  const TrainHistory history = SampleHistory(3);
  EXPECT_EQ(history.TotalSteps(), 300u);
  const Traffic traffic = history.TotalTraffic();
  EXPECT_EQ(traffic.pushed_bytes, 6'000'000u);
  EXPECT_EQ(traffic.pulled_bytes, 12'000'000u);
  EXPECT_EQ(traffic.dense_bytes, 600'000'000u);
  EXPECT_DOUBLE_EQ(traffic.push_saved(), 0.99);
  EXPECT_DOUBLE_EQ(traffic.pull_saved(), 0.98);
  EXPECT_DOUBLE_EQ(traffic.both_saved(), 0.985);
  EXPECT_NEAR(history.SecondsPerStep().compute, 0.01, 1e-12);
}

TEST(TrainHistoryTest, NothingYet) {
  const TrainHistory history(2);
  EXPECT_EQ(history.TotalTraffic().push_saved(), 0);
  EXPECT_EQ(history.SecondsPerStep().step, 0);
  EXPECT_FALSE(history.model().has_value());
  EXPECT_FALSE(history.done(1));
}

TEST(TrainHistoryTest, RefusesWhatDoesNotFit) {
  TrainHistory history(2);
  EXPECT_FALSE(history.Add(SampleEpoch(2, 1)).ok());
  EXPECT_TRUE(history.epochs().empty());
}

TEST(TrainHistoryTest, AnEpochThatIsEndedTwiceCountsOnce) {
  TrainHistory history(2);
  EpochEvent again = SampleEpoch(1, 1);
  again.pushed_bytes *= 2;
  EXPECT_TRUE(history.Add(SampleEpoch(1, 1)).ok());
  EXPECT_TRUE(history.Add(again).ok());
  EXPECT_TRUE(history.Add(SampleEpoch(0, 1)).ok());
  EXPECT_TRUE(history.Add(again).ok());
  ASSERT_EQ(history.epochs().size(), 1u);
  EXPECT_EQ(history.TotalTraffic().pushed_bytes, SampleEpoch(0, 1).pushed_bytes + SampleEpoch(1, 1).pushed_bytes);
}

TEST(TrainHistoryTest, ChecksumMustBeTheSameEverywhere) {
  TrainHistory history(2);
  ASSERT_TRUE(history.Add(DoneEvent{0, "1a2b3c4d", 100}).ok());
  EXPECT_THAT(std::string(history.WeightsChecksum(/*must_agree=*/true).status().message()),
              HasSubstr("worker 1 did not report"));
  ASSERT_TRUE(history.Add(DoneEvent{1, "00000000", 100}).ok());
  EXPECT_THAT(std::string(history.WeightsChecksum(/*must_agree=*/true).status().message()),
              HasSubstr("different weights: checksum 1a2b3c4d at worker 0, 00000000 at worker 1"));
  ASSERT_TRUE(history.Add(DoneEvent{1, "1a2b3c4d", 100}).ok());
  EXPECT_EQ(history.WeightsChecksum(/*must_agree=*/true).value(), "1a2b3c4d");
}

TEST(TrainHistoryTest, LastStepIsRankZeros) {
  TrainHistory history(2);
  StepEvent step;
  step.rank = 1;
  ASSERT_TRUE(history.Add(step).ok());
  EXPECT_FALSE(history.last_step().has_value());
  step.rank = 0;
  step.step = 7;
  ASSERT_TRUE(history.Add(step).ok());
  EXPECT_EQ(history.last_step()->step, 7u);
}

}  // namespace
}  // namespace cddp::ctl
