#include "deploy/ctl/train_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TrainTextTest, DescribeJob) {
  TrainOptions options = SampleOptions(5);
  EXPECT_EQ(DescribeJob(options), "simple_cnn on mnist: 2 workers, 3 servers, batch 2 x 64, ratio 0.01 (int4, gap8)");
  options.publish_ratio = 0.05;
  EXPECT_THAT(DescribeJob(options), HasSubstr("ratio 0.01 (int4, gap8), publish ratio 0.05"));
  options.compress = false;
  options.workers = options.servers = 1;
  EXPECT_EQ(DescribeJob(options), "simple_cnn on mnist: 1 worker, 1 server, batch 1 x 64, dense");
}

TEST(TrainTextTest, DescribeModel) {
  EXPECT_EQ(DescribeModel(*SampleHistory(0).model()),
            "simple_cnn has 250,000 parameters in 8 tensors and 16 buckets; 100 steps an epoch");
}

TEST(TrainTextTest, EpochLine) {
  EpochSummary epoch = SampleHistory(2).epochs()[1];
  EXPECT_EQ(EpochLine(SampleOptions(12), epoch),
            "epoch  2/12  accuracy 95.00 %  loss 0.5000 (test 0.2500)  20 ms/step  pushed 2.00 MB pulled 4.00 MB "
            "(98.50 % saved)  2.5 s");
  epoch.refused_steps = 1;
  EXPECT_THAT(EpochLine(SampleOptions(12), epoch), HasSubstr("1 step skipped: a gradient was not finite"));
}

TEST(TrainTextTest, StepParts) {
  EXPECT_THAT(StepParts(SampleOptions(2), TrainHistory(2)), ElementsAre("waiting for the workers"));
  TrainHistory history = SampleHistory(0);
  EXPECT_THAT(StepParts(SampleOptions(2), history), ElementsAre("epoch 1/2", "[....................]"));
  StepEvent step;
  step.epoch = 1;
  step.step = 50;
  step.loss = 0.25;
  step.seconds.step = 1;
  step.pushed_bytes = 500'000;
  step.pulled_bytes = 1'000'000;
  ASSERT_TRUE(history.Add(step).ok());
  EXPECT_THAT(StepParts(SampleOptions(2), history),
              ElementsAre("epoch 1/2", "[##########..........]", "50/100", "loss 0.2500", "20 ms/step", "ETA 3 s",
                          "push 20.0 kB pull 40.0 kB a step", "98.50 % saved"));
}

TEST(TrainTextTest, Summary) {
  EXPECT_THAT(SummaryLines(SampleOptions(2), SampleHistory(2), "1a2b3c4d", absl::Seconds(90)),
              ElementsAre("accuracy  95.00 % of the test set after 2 epochs",
                          "time      1 min 30 s in all, 20 ms a step: compute 10 ms (50 %), compress 1.0 ms (5 %), "
                          "exchange 8.0 ms (40 %)",
                          "pushed    4.00 MB, 20.0 kB a step: 1.00 % of dense, 100 times less",
                          "pulled    8.00 MB, 40.0 kB a step: 2.00 % of dense, 50 times less",
                          "saved     99.00 % of the bytes pushed, 98.50 % of both directions",
                          "weights   checksum 1a2b3c4d, the same at all 2 workers"));
}

TEST(TrainTextTest, SummaryTellsTheLossOfAModelWithoutAnAccuracy) {
  TrainHistory history(1);
  EpochEvent event = SampleEpoch(0, 1);
  event.test_loss = 1.25;
  event.test_accuracy = NAN;
  ASSERT_TRUE(history.Add(event).ok());
  EXPECT_EQ(SummaryLines(SampleOptions(1), history, "0", absl::Seconds(1))[0],
            "loss      1.2500 nats of the validation text after 1 epoch");
}

TEST(TrainTextTest, SummaryNamesABetterEpoch) {
  TrainHistory history(1);
  for (int epoch : {1, 2}) {
    EpochEvent event = SampleEpoch(0, epoch);
    event.test_accuracy = 0.9 / epoch;
    ASSERT_TRUE(history.Add(event).ok());
  }
  EXPECT_EQ(SummaryLines(SampleOptions(2), history, "0", absl::Seconds(1))[0],
            "accuracy  45.00 % of the test set after 2 epochs (best: 90.00 % after 1)");
}

}  // namespace
}  // namespace cddp::ctl
