#include "deploy/ctl/run_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kAllOfTwoEpochs = 201;  // 100 steps an epoch, and the initial weights

TEST(RunResultTest, AGoodRunHasNothingToSay) {
  const RunResult result = JudgeRun(SampleOptions(2), SampleHistory(2), kAllOfTwoEpochs);
  EXPECT_THAT(result.problems, IsEmpty());
  EXPECT_THAT(result.notes, IsEmpty());
}

// Both workers tell the same; `change` makes the second and last epoch another one.
template <typename Change>
RunResult Judge(const Change& change) {
  TrainHistory history = SampleHistory(1);
  for (int rank : {0, 1}) {
    EpochEvent event = SampleEpoch(rank, 2);
    change(&event);
    EXPECT_TRUE(history.Add(event).ok());
  }
  return JudgeRun(SampleOptions(2), history, kAllOfTwoEpochs);
}

TEST(RunResultTest, MostStepsSkippedIsAFailureFewAreANote) {
  EXPECT_THAT(Judge([](EpochEvent* event) { event->refused_steps = 3; }).notes,
              ElementsAre("3 of 200 steps were skipped: the loss or a gradient was not finite"));
  EXPECT_THAT(Judge([](EpochEvent* event) { event->refused_steps = 100; }).problems,
              ElementsAre("100 of 200 steps were skipped: the loss or a gradient was not finite; lower --lr"));
}

TEST(RunResultTest, ALossThatIsNotFiniteIsAFailure) {
  EXPECT_THAT(Judge([](EpochEvent* event) { event->train_loss = NAN; }).problems, ElementsAre(HasSubstr("lower --lr")));
  EXPECT_THAT(Judge([](EpochEvent* event) { event->train_loss = INFINITY; }).problems,
              ElementsAre(HasSubstr("diverged")));
  EXPECT_THAT(Judge([](EpochEvent* event) { event->test_loss = NAN; }).problems, ElementsAre(HasSubstr("diverged")));
}

TEST(RunResultTest, LessThanAskedForIsAFailure) {
  EXPECT_THAT(JudgeRun(SampleOptions(3), SampleHistory(2), 301).problems,
              ElementsAre("the workers told of 2 epochs, not of 3"));
  EXPECT_THAT(JudgeRun(SampleOptions(2), SampleHistory(2), 151).problems,
              ElementsAre("the servers trained 150 of 200 steps"));
  TrainOptions local = SampleOptions(2);
  local.local_steps = 32;  // four exchanges an epoch
  EXPECT_THAT(JudgeRun(local, SampleHistory(2), 9).problems, IsEmpty());
  EXPECT_THAT(JudgeRun(local, SampleHistory(2), 8).problems, ElementsAre("the servers trained 7 of 8 rounds"));
}

TEST(RunResultTest, WhatIsNotKnownIsSaid) {
  EXPECT_THAT(JudgeRun(SampleOptions(2), SampleHistory(2), std::nullopt).notes, ElementsAre(HasSubstr("is not known")));
}

TEST(RunResultTest, AWorkerThatWasAwayIsNamed) {
  TrainHistory history = SampleHistory(1);
  ASSERT_TRUE(history.Add(SampleEpoch(0, 2)).ok());
  ASSERT_TRUE(history.Add(SampleEpoch(0, 3)).ok());
  EpochEvent late = SampleEpoch(1, 3);
  late.steps = 40;
  ASSERT_TRUE(history.Add(late).ok());
  ASSERT_EQ(history.epochs().size(), 3u);
  const RunResult result = JudgeRun(SampleOptions(3), history, 301);
  EXPECT_THAT(result.problems, IsEmpty());
  EXPECT_THAT(result.notes, ElementsAre("worker 1 missed 160 of 300 steps: the others went on without it"));
}

TEST(RunResultTest, WithoutWorker0TheAccuracyIsNotKnown) {
  TrainHistory history = SampleHistory(1);
  ASSERT_TRUE(history.Add(SampleEpoch(1, 2)).ok());
  ASSERT_TRUE(history.Add(DoneEvent{0, "1a2b3c4d", 200}).ok());
  ASSERT_EQ(history.epochs().size(), 2u);
  EXPECT_THAT(JudgeRun(SampleOptions(2), history, kAllOfTwoEpochs).notes,
              ElementsAre("the accuracy after epoch 2 is not known: worker 0, which evaluates, missed its end",
                          "worker 0 missed 100 of 200 steps: the others went on without it"));
}

}  // namespace
}  // namespace cddp::ctl
