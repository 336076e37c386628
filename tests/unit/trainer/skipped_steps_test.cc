#include "worker/trainer/skipped_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(SkippedStepsTest, OneStepHereAndThereIsNoMatter) {
  SkippedSteps skipped(/*stop_at_once=*/false, /*most_in_row=*/2);
  for (uint64_t exchange = 1; exchange <= 9; exchange += 3) {
    EXPECT_TRUE(skipped.NoteRound(exchange, 1, 1, 0.5).ok());
    EXPECT_TRUE(skipped.NoteRound(exchange + 1, 1, 0, 0.5).ok());
    EXPECT_TRUE(skipped.NoteRound(exchange + 2, 1, 0, 0.25).ok());
  }
  EXPECT_EQ(skipped.last_loss(), 0.25);
  EXPECT_TRUE(skipped.Judge().ok());
}

TEST(SkippedStepsTest, ManyInARowEndTheTraining) {
  SkippedSteps skipped(/*stop_at_once=*/false, /*most_in_row=*/6);
  EXPECT_TRUE(skipped.NoteRound(1, 4, 4, kNaN).ok());
  EXPECT_TRUE(skipped.NoteRound(2, 4, 3, kNaN).ok()) << "one step was made";
  EXPECT_TRUE(skipped.NoteRound(3, 4, 4, kNaN).ok());
  const absl::Status ended = skipped.NoteRound(4, 4, 4, kNaN);
  EXPECT_EQ(ended.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(ended.message(), HasSubstr("step 4: the last 8 steps were skipped"));
  EXPECT_THAT(ended.message(), HasSubstr("--max_skipped_steps"));
}

TEST(SkippedStepsTest, AnyNumberMayBeAllowedAndTheEndSaysWhatBecameOfIt) {
  SkippedSteps skipped(/*stop_at_once=*/false, /*most_in_row=*/0);
  for (uint64_t exchange = 1; exchange <= 100; ++exchange) {
    EXPECT_TRUE(skipped.NoteRound(exchange, 1, exchange > 50 ? 1 : 0, 1).ok());
  }
  EXPECT_THAT(skipped.Judge().message(), HasSubstr("most steps were skipped (50 of 100 steps skipped)"));
}

TEST(SkippedStepsTest, TheFirstMayEndIt) {
  SkippedSteps skipped(/*stop_at_once=*/true, /*most_in_row=*/20);
  EXPECT_TRUE(skipped.NoteRound(1, 4, 0, 1).ok());
  EXPECT_THAT(skipped.NoteRound(2, 4, 1, 1).message(), HasSubstr("step 2: a gradient was not finite"));
}

TEST(SkippedStepsTest, ALastLossThatIsNotFiniteIsNoSuccess) {
  SkippedSteps skipped(/*stop_at_once=*/false, /*most_in_row=*/20);
  EXPECT_TRUE(skipped.NoteRound(1, 4, 0, 1).ok());
  EXPECT_TRUE(skipped.NoteRound(2, 4, 1, kNaN).ok());
  EXPECT_THAT(skipped.Judge().message(), HasSubstr("the last loss is not finite (1 of 8 steps skipped)"));
}

}  // namespace
}  // namespace cddp
