#include "deploy/plan/plan_input.h"

#include <gtest/gtest.h>

namespace cddp::plan {
namespace {

TEST(PlanInputTest, Rates) {
  EXPECT_EQ(*ParseRate("100mbit"), 1e8);
  EXPECT_EQ(*ParseRate("2.5gbit"), 2.5e9);
  EXPECT_EQ(*ParseRate("512kbit"), 512e3);
  for (const char* bad : {"", "100", "mbit", "-1mbit", "0gbit", "infmbit", "nanmbit", "1e400gbit", "100mbits"}) {
    EXPECT_FALSE(ParseRate(bad).ok()) << bad;
  }
}

TEST(PlanInputTest, CostsThatAreNotNamedStay) {
  const auto costs = ParseCosts("goodput=0.5,step_ms=3");
  ASSERT_TRUE(costs.ok()) << costs.status();
  EXPECT_EQ(costs->goodput, 0.5);
  EXPECT_EQ(costs->step_ms, 3);
  EXPECT_EQ(costs->entry_ns, CostConstants().entry_ns);
  for (const char* bad : {"goodput", "goodput=", "goodput=0", "goodput=-1", "nothing=1", "goodput=nan"}) {
    EXPECT_FALSE(ParseCosts(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace cddp::plan
