#include "deploy/ctl/report_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "deploy/ctl/report.h"
#include "deploy/ctl/run_record.h"
#include "tests/unit/ctl/run_cddp.h"
#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class ReportPageTest : public ::testing::Test {
 protected:
  // A run's folder with a report.json, as `cddp train` leaves it.
  void WriteRun(const std::string& name, const TrainOptions& options, RunState state = RunState::kFinished) {
    RunOutcome outcome;
    outcome.state = state;
    if (state == RunState::kFailed) outcome.error = "worker 1 <ended>";
    outcome.total = absl::Seconds(12);
    Write(absl::StrCat(name, "/report.json"), ReportJson(options, SampleHistory(options.epochs), outcome));
  }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_.File(path)).parent_path());
    std::ofstream(folder_.File(path)) << text;
  }

  CddpFolder folder_;
};

TEST_F(ReportPageTest, ReadsWhatTrainHasWritten) {
  WriteRun("a", SampleOptions(3));
  const absl::StatusOr<RunRecord> run = ReadRun(folder_.File("a"));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->name, "a");
  EXPECT_EQ(run->state, "finished");
  EXPECT_EQ(run->seconds, 12);
  EXPECT_EQ(run->configuration.at("model"), "simple_cnn");
  EXPECT_EQ(run->configuration.at("ratio"), "0.01");
  ASSERT_EQ(run->epochs.size(), 3u);
  EXPECT_EQ(run->epochs[1].epoch, 2);
  EXPECT_DOUBLE_EQ(run->epochs[1].ended, 2 * 2.5);  // steps and evaluation
  EXPECT_DOUBLE_EQ(run->epochs[1].train_loss, 0.5);
  EXPECT_DOUBLE_EQ(run->epochs[1].test_accuracy, 0.95);
  EXPECT_DOUBLE_EQ(run->step_ms, 20);
  EXPECT_DOUBLE_EQ(run->exchange_ms, 8);
  EXPECT_DOUBLE_EQ(run->pushed_bytes, 2 * 10'000);
  EXPECT_DOUBLE_EQ(run->dense_bytes, 2 * 1'000'000);
}

TEST_F(ReportPageTest, ReadsWhatRunHasWritten) {
  Write("a/report.json", R"({"state":"failed","error":"no","command":["python3","x.py"],"workers":4,"servers":2,
      "seconds":3.5,"parameters":7,"version":11,"pushed_bytes":100,"pulled_bytes":50})");
  const absl::StatusOr<RunRecord> run = ReadRun(folder_.File("a/report.json"));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->name, "a");
  EXPECT_EQ(run->configuration.at("command"), "python3 x.py");
  EXPECT_EQ(run->pushed_bytes, 10);
  EXPECT_TRUE(run->epochs.empty());
  EXPECT_THAT(ReportPage({*run}), HasSubstr("–"));
}

TEST_F(ReportPageTest, NumbersThatNoRunHasAreNone) {
  Write("a/report.json", R"({"state":"finished","model":{"parameters":-1},"epochs":[{"epoch":1e300},{"epoch":2}]})");
  const absl::StatusOr<RunRecord> run = ReadRun(folder_.File("a"));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->parameters, 0u);
  ASSERT_EQ(run->epochs.size(), 2u);
  EXPECT_EQ(run->epochs[0].epoch, 0);
  EXPECT_EQ(run->epochs[1].epoch, 2);
}

TEST_F(ReportPageTest, SaysWhatIsNoRun) {
  EXPECT_THAT(ReadRun(folder_.File("none")).status().message(), HasSubstr("there is no report of a run"));
  for (const char* text : {"", "[", "[1]", "{}", R"({"state":7})"}) {
    Write("a/report.json", text);
    EXPECT_THAT(ReadRun(folder_.File("a")).status().message(), HasSubstr("not the report of a run, or damaged"))
        << text;
  }
  // Whatever is missing is not known.
  Write("a/report.json", R"({"state":"running","epochs":[{},7,null],"configuration":[1],"step_ms":"x"})");
  const absl::StatusOr<RunRecord> run = ReadRun(folder_.File("a"));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_THAT(ReportPage({*run, *run}), HasSubstr("</html>"));
}

TEST_F(ReportPageTest, ThePageHasResultsChartsAndWhatDiffers) {
  WriteRun("a", SampleOptions(3));
  TrainOptions other = SampleOptions(2);
  other.ratio = 0.125;
  other.model = "<script>";
  WriteRun("b", other, RunState::kFailed);
  const std::string page = ReportPage({*ReadRun(folder_.File("a")), *ReadRun(folder_.File("b"))});
  for (const char* text :
       {"96.67 %", "95.00 %", "Test accuracy (%) over epochs", "Training loss over time", "Time of a step",
        "20 ms, waits 40 %", "20.0 kB, 1.00 %", "Settings that differ", "<td>ratio</td><td>0.01</td><td>0.125</td>",
        "b: worker 1 &lt;ended&gt;", "prefers-color-scheme: dark", "a, epoch 2: 95"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  EXPECT_THAT(page, Not(HasSubstr("<td>seed</td>"))) << "it is the same";
  // By itself, and only what it was made to hold.
  for (const char* text : {"<script", "http:", "https:", "url(", "@import", "nan", "inf"}) {
    EXPECT_THAT(page, Not(HasSubstr(text))) << text;
  }
}

TEST_F(ReportPageTest, TheCommandWritesThePage) {
  WriteRun("x/a", SampleOptions(3));
  WriteRun("y/a", SampleOptions(2));
  const Finished made = folder_.Run("report x/a y/a --html=page.html");
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.out, "page.html\n");
  EXPECT_THAT(ReadFile(folder_.File("page.html")), HasSubstr("x/a</td>")) << "two names that are alike";
  EXPECT_EQ(folder_.Run("report").exit_code, 2);
  EXPECT_THAT(folder_.Run("report x/a none").err, HasSubstr("none: there is no report of a run"));
  EXPECT_THAT(folder_.Run("report x/a --htlm=y").err, HasSubstr("did you mean --html?"));
  EXPECT_THAT(folder_.Run("report x/a --html=x").err, HasSubstr("--html="));
}

}  // namespace
}  // namespace cddp::ctl
