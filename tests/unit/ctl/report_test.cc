#include "deploy/ctl/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

nlohmann::json Report(const TrainOptions& options, const TrainHistory& history, const RunOutcome& outcome) {
  return nlohmann::json::parse(ReportJson(options, history, outcome));
}

TEST(ReportTest, HoldsTheRun) {
  RunOutcome outcome;
  outcome.state = RunState::kFinished;
  outcome.weights_crc32c = "1a2b3c4d";
  outcome.started_at = absl::FromUnixSeconds(1'700'000'000);
  outcome.total = absl::Seconds(90);
  const nlohmann::json report = Report(SampleOptions(3), SampleHistory(3), outcome);

  EXPECT_EQ(report["state"], "finished");
  EXPECT_EQ(report["error"], nullptr);
  EXPECT_EQ(report["started_at"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(report["seconds"], 90);
  EXPECT_EQ(report["weights_crc32c"], "1a2b3c4d");
  EXPECT_NEAR(report["test_accuracy"].get<double>(), 1 - 0.1 / 3, 1e-12);
  EXPECT_EQ(report["steps"], 300);
  EXPECT_EQ(report["pushed_bytes"], 6'000'000);
  EXPECT_EQ(report["pulled_bytes"], 12'000'000);
  EXPECT_EQ(report["dense_bytes"], 600'000'000);
  EXPECT_DOUBLE_EQ(report["push_saved"], 0.99);
  EXPECT_DOUBLE_EQ(report["pull_saved"], 0.98);
  EXPECT_DOUBLE_EQ(report["both_saved"], 0.985);
  EXPECT_NEAR(report["step_ms"]["total"].get<double>(), 20, 1e-9);
  EXPECT_EQ(report["configuration"]["servers"], 3);
  EXPECT_EQ(report["configuration"]["ratio"], 0.01);
  EXPECT_EQ(report["configuration"]["value_encoding"], "int4");
  EXPECT_EQ(report["model"]["parameters"], 250'000);
  EXPECT_TRUE(report["versions"].contains("cddp"));

  ASSERT_EQ(report["epochs"].size(), 3u);
  const nlohmann::json& epoch = report["epochs"][1];
  EXPECT_EQ(epoch["epoch"], 2);
  EXPECT_DOUBLE_EQ(epoch["train_loss"], 0.5);
  EXPECT_DOUBLE_EQ(epoch["test_loss"], 0.25);
  EXPECT_DOUBLE_EQ(epoch["test_accuracy"], 0.95);
  EXPECT_DOUBLE_EQ(epoch["seconds"], 2.5);
  EXPECT_NEAR(epoch["step_ms"]["compute"].get<double>(), 10, 1e-9);
  EXPECT_NEAR(epoch["step_ms"]["compress"].get<double>(), 1, 1e-9);
  EXPECT_NEAR(epoch["step_ms"]["exchange"].get<double>(), 8, 1e-9);
  EXPECT_EQ(epoch["pushed_bytes"], 2'000'000);
}

TEST(ReportTest, BeforeAnythingHappened) {
  RunOutcome outcome;
  outcome.state = RunState::kFailed;
  outcome.error = "worker 0: \"no\"\nsuch \xff model";  // not UTF-8
  const nlohmann::json report = Report(SampleOptions(3), TrainHistory(2), outcome);
  EXPECT_EQ(report["state"], "failed");
  EXPECT_EQ(report["error"], "worker 0: \"no\"\nsuch \xef\xbf\xbd model");
  EXPECT_EQ(report["test_accuracy"], nullptr);
  EXPECT_EQ(report["weights_crc32c"], nullptr);
  EXPECT_EQ(report["model"], nullptr);
  EXPECT_TRUE(report["epochs"].empty());
}

TEST(ReportTest, LossThatIsNoNumberIsNull) {
  TrainHistory history(1);
  EpochEvent epoch = SampleEpoch(0, 1);
  epoch.train_loss = NAN;
  ASSERT_TRUE(history.Add(epoch).ok());
  EXPECT_EQ(Report(SampleOptions(1), history, {})["epochs"][0]["train_loss"], nullptr);
}

TEST(ReportTest, DenseRunSaysWhatWasReallyUsed) {
  TrainOptions options = SampleOptions(1);
  options.compress = false;
  const nlohmann::json configuration = Report(options, TrainHistory(2), {})["configuration"];
  EXPECT_EQ(configuration["compress"], false);
  EXPECT_EQ(configuration["ratio"], 1);
  EXPECT_EQ(configuration["publish_ratio"], 1);
  EXPECT_EQ(configuration["value_encoding"], "fp32");
}

}  // namespace
}  // namespace cddp::ctl
