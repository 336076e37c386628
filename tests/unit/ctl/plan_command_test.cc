// `cddp plan` as a process.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/ctl/run_cddp.h"

namespace cddp::ctl {
namespace {

using ::testing::HasSubstr;

constexpr char kPlan[] = "plan --parameters=25557032 --rate=100mbit --compute_ms=500 ";

TEST(PlanCommandTest, JsonHasThePrediction) {
  const Finished run = CddpFolder().Run(std::string(kPlan) + "--workers=8 --publish_ratio=0.01 --json");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto plan = nlohmann::json::parse(run.out);
  EXPECT_GT(plan["step_ms"].get<double>(), 500);
  EXPECT_NEAR(plan["efficiency"].get<double>(), 500 / plan["step_ms"].get<double>(), 1e-6);
  EXPECT_EQ(plan["servers"], 8);
  // 1 % of the model, 12.9 bits an entry: seven eighths of each worker's pushes, and of its answers, cross a link.
  EXPECT_NEAR(plan["sent_bytes"].get<double>(), 2 * 7 * 25557032 * 0.01 * 12.9 / 8, 1.2e6);
}

TEST(PlanCommandTest, AllThatWasPushedComesBack) {
  const Finished run = CddpFolder().Run(std::string(kPlan) + "--workers=8 --json");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  // 8 workers that push 1 % each touch 7.7 %, of 12.3 bits an entry; a network adds its own.
  const double bits = 0.01 * 12.9 + 0.077 * 12.3;
  EXPECT_NEAR(nlohmann::json::parse(run.out)["sent_bytes"].get<double>(), 7 * 25557032 * bits / 8, 2e6);
}

TEST(PlanCommandTest, RecommendsServers) {
  const Finished run = CddpFolder().Run(std::string(kPlan) + "--workers=8");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("recommended: "));
}

TEST(PlanCommandTest, StudiesScaling) {
  const Finished run = CddpFolder().Run(std::string(kPlan) + "--most_workers=500 --servers=1");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("stops scaling before "));
  EXPECT_THAT(run.out, HasSubstr("what helps with 500 workers"));
}

TEST(PlanCommandTest, BadInputIsOneClearLineAndExitCodeTwo) {
  const std::pair<const char*, const char*> cases[] = {
      {"plan", "--parameters"},
      {"plan --parameters=1000 --rate=fast", "'fast' is not a rate"},
      {"plan --parameters=1000 --workers=0", "--workers"},
      {"plan --parameters=1000 --epochs=3", "unknown flag --epochs"},
      {"plan --parameters=1000 --ratio=2", "ratios"},
      {"plan --shapes=/no/such/file", "/no/such/file"},
      {"plan --parameters=1000 --costs=luck=7", "luck"},
      {"plan --parameters=1000 --servers=many", "--servers=many"},
      {"plan --parameters=1000 --most_workers=3", "at least 8"},
  };
  for (const auto& [arguments, says] : cases) {
    const Finished run = CddpFolder().Run(arguments);
    EXPECT_EQ(run.exit_code, 2) << arguments;
    EXPECT_THAT(run.err, HasSubstr(says));
  }
}

}  // namespace
}  // namespace cddp::ctl
