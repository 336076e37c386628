#include "worker/optimizer/parameter_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp {
namespace {

using ::testing::HasSubstr;

ParameterLayout Layout() {
  return *ParameterLayout::Create(
      {{"fc1.weight", {10, 10}}, {"fc1.bias", {10}}, {"norm.weight", {10}}, {"head.weight", {5, 10}}}, 64);
}

OptimizerOptions AdamW() {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdamW;
  options.lr.base = 0.001;
  options.weight_decay = 0.1;
  return options;
}

struct Expected {
  uint64_t begin, end;
  double lr, weight_decay;
};

void ExpectRuns(const absl::StatusOr<std::vector<ParameterRun>>& runs, const std::vector<Expected>& expected) {
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ((*runs)[i].range, (ElementRange{expected[i].begin, expected[i].end})) << "run " << i;
    EXPECT_EQ((*runs)[i].options.lr.base, expected[i].lr) << "run " << i;
    EXPECT_EQ((*runs)[i].options.weight_decay, expected[i].weight_decay) << "run " << i;
  }
}

TEST(ParameterGroupsTest, AdamWDecaysNoBiasesAndNormalisation) {
  ExpectRuns(MakeParameterRuns(Layout(), AdamW(), {}, 1000),
             {{0, 100, 0.001, 0.1}, {100, 120, 0.001, 0}, {120, 170, 0.001, 0.1}});
  OptimizerOptions sgd = AdamW();
  sgd.kind = OptimizerKind::kSgd;
  ExpectRuns(MakeParameterRuns(Layout(), sgd, {}, 1000), {{0, 170, 0.001, 0.1}});
}

TEST(ParameterGroupsTest, RunsAreCutAtTheirLimit) {
  ExpectRuns(MakeParameterRuns(Layout(), AdamW(), {}, 64),
             {{0, 64, 0.001, 0.1}, {64, 100, 0.001, 0.1}, {100, 120, 0.001, 0}, {120, 170, 0.001, 0.1}});
}

TEST(ParameterGroupsTest, TheLastGroupThatMatchesCounts) {
  const auto groups = ParseParameterGroups("*.weight:lr=0.01;head.*:weight_decay=0.5,lr=0.02;*.bias:weight_decay=0.3");
  ASSERT_TRUE(groups.ok()) << groups.status();
  ExpectRuns(MakeParameterRuns(Layout(), AdamW(), *groups, 1000),
             {{0, 100, 0.01, 0.1}, {100, 110, 0.001, 0.3}, {110, 120, 0.01, 0}, {120, 170, 0.02, 0.5}});
}

TEST(ParameterGroupsTest, AGroupWithoutATensorIsRefused) {
  const auto groups = ParseParameterGroups("had.*:lr=1");
  EXPECT_THAT(std::string(MakeParameterRuns(Layout(), AdamW(), *groups, 1000).status().message()),
              HasSubstr("no tensor is named 'had.*'"));
}

TEST(ParameterGroupsTest, WrongTextsSayWhatIsWrong) {
  EXPECT_TRUE(ParseParameterGroups("")->empty());
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"*.bias", "no pattern before ':'"},
           {":lr=1", "no pattern before ':'"},
           {"*.bias:lr", "'lr' is no name=number"},
           {"*.bias:lr=fast", "'lr=fast' is no name=number"},
           {"*.bias:lr=-1", "'lr=-1' is no name=number"},
           {"*.bias:lr=nan", "'lr=nan' is no name=number"},
           {"*.bias:momentum=1", "'momentum' is neither lr nor weight_decay"},
       }) {
    const absl::Status status = ParseParameterGroups(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why)) << text;
  }
}

}  // namespace
}  // namespace cddp
