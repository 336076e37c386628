#include "worker/rounds/adaptive_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kEpoch = 1000;

class AdaptiveStepsTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "steps"; }
  std::string Content() const { return ReadFile(path()); }
  void Write(const std::string& content) const { std::ofstream(path()) << content; }
  std::unique_ptr<AdaptiveSteps> Auto() const { return *AdaptiveSteps::Create({StepsChoice::Kind::kAuto}, path()); }
  absl::StatusOr<std::unique_ptr<AdaptiveSteps>> Repeat() const {
    StepsChoice choice;
    choice.kind = StepsChoice::Kind::kRepeat;
    choice.decisions = path();
    return AdaptiveSteps::Create(choice, "");
  }

  // One worker alone: what it pushes is what is published. Returns the steps of each round from `exchange` on.
  static std::vector<uint32_t> Train(AdaptiveSteps& steps, AgreedSteps* now, uint64_t exchange, int rounds) {
    std::vector<uint32_t> made;
    for (int i = 0; i < rounds; ++i, ++exchange) {
      made.push_back(now->steps);
      *now = steps.Next(exchange, *now, StepsOfRound(*now, kEpoch));
      steps.NoteRound(made.back(), 0.1 * made.back(), exchange < 40 ? 0.1 : 0.01, /*can_send_less=*/false);
      EXPECT_EQ(*steps.NoteDecided(exchange + 1, now->steps), now->steps != made.back());
    }
    return made;
  }

  const TempFolder folder_;
};

TEST_F(AdaptiveStepsTest, DecidesAndAnotherRunRepeatsIt) {
  const auto first = Auto();
  AgreedSteps now = FirstSteps(first->first_steps());
  ASSERT_TRUE(first->Begin(1, now.steps).ok());
  const std::vector<uint32_t> made = Train(*first, &now, 1, 150);
  EXPECT_EQ(made.front(), 4u);
  EXPECT_EQ(made[38], 16u);
  EXPECT_EQ(made.back(), 4u);
  EXPECT_THAT(Content(), testing::StartsWith("1 4\n"));
  EXPECT_EQ(first->crc32c(), 0u);

  const auto second = *Repeat();
  now = FirstSteps(second->first_steps());
  ASSERT_TRUE(second->Begin(1, now.steps).ok());
  EXPECT_EQ(Train(*second, &now, 1, 150), made);
  EXPECT_NE(second->crc32c(), 0u);
}

TEST_F(AdaptiveStepsTest, AStartForgetsWhatCameLaterAndWritesItAgain) {
  const auto first = Auto();
  AgreedSteps now = FirstSteps(4);
  ASSERT_TRUE(first->Begin(1, now.steps).ok());
  Train(*first, &now, 1, 5);
  const AgreedSteps checkpoint = now;
  const std::vector<uint32_t> made = Train(*first, &now, 6, 100);
  const std::string content = Content();

  // What is published does not change by a restart, so neither do the decisions.
  const auto again = Auto();
  ASSERT_TRUE(again->Begin(6, checkpoint.steps).ok());
  EXPECT_EQ(Content(), content) << "nothing is decided yet";
  for (size_t i = 0; i < made.size(); ++i) ASSERT_TRUE(again->NoteDecided(6 + i, made[i]).ok());
  EXPECT_EQ(Content(), content);
}

TEST_F(AdaptiveStepsTest, AFileThatCannotBeWrittenIsFoundBeforeTheTraining) {
  const absl::Status status = AdaptiveSteps::Create({StepsChoice::Kind::kAuto}, "/nonexistent/steps").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--local_steps_log=/nonexistent/steps"));
}

TEST_F(AdaptiveStepsTest, WhatIsNoDecisionIsNamed) {
  for (const char* bad :
       {"1 5\n", "1 64\n", "1 2\n", "0 4\n", "1\n", "one 4\n", "1 4 4\n", "1 4\n1 8\n", "5 4\n2 8\n"}) {
    Write(bad);
    EXPECT_THAT(std::string(Repeat().status().message()), HasSubstr("is no decision")) << bad;
  }
  Write("# none\n");
  EXPECT_THAT(std::string(Repeat().status().message()), HasSubstr("no decision is in it"));
  Write("7 4\n");
  EXPECT_EQ((*Repeat())->Begin(3, 4).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE((*Repeat())->Begin(7, 4).ok());
  EXPECT_FALSE(AdaptiveSteps::Create({StepsChoice::Kind::kRepeat, 1, folder_ / "none"}, "").ok());
}

}  // namespace
}  // namespace cddp
