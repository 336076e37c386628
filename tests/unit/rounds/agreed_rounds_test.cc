#include "worker/rounds/agreed_rounds.h"

#include <gtest/gtest.h>

#include <memory>

namespace cddp {
namespace {

// One worker alone, whose elements are published as it pushes them.
class AgreedRoundsTest : public ::testing::Test {
 protected:
  AgreedRoundsTest() {
    StepsChoice choice;
    choice.kind = StepsChoice::Kind::kAuto;
    rounds_ = *AgreedRounds::Create(choice, /*log=*/"");
    rounds_->ReadPublished(rounds_->FirstElements());
    EXPECT_TRUE(rounds_->Begin(1).ok());
  }

  // A round of `made` steps that waits for most of its time. Returns whether more steps are decided upon.
  bool Round(uint64_t made) {
    const std::vector<float> pushed = rounds_->Next(exchange_++, made);
    EXPECT_EQ(rounds_->pushed().position, rounds_->now().position + made);
    rounds_->ReadPublished(pushed);
    return *rounds_->NoteRound(exchange_, /*compute_seconds=*/1, /*wait_seconds=*/2, /*can_send_less=*/false);
  }

  std::unique_ptr<AgreedRounds> rounds_;
  uint64_t exchange_ = 1;
};

TEST_F(AgreedRoundsTest, RoundsThatWaitMakeMoreSteps) {
  uint64_t position = 0;
  int rounds = 0;
  for (bool changed = false; !changed && rounds < 100; ++rounds) {
    EXPECT_EQ(rounds_->now().steps, kFewestLocalSteps);
    EXPECT_EQ(rounds_->now().position, position);
    position += rounds_->now().steps;
    changed = Round(rounds_->now().steps);
  }
  EXPECT_LT(rounds, 100);
  EXPECT_GT(rounds_->now().steps, rounds_->before().steps);
}

TEST_F(AgreedRoundsTest, RoundsThatWereEndedEarlyDecideNothing) {
  for (int round = 0; round < 100; ++round) EXPECT_FALSE(Round(kFewestLocalSteps - 1));
  EXPECT_EQ(rounds_->now().steps, kFewestLocalSteps);
  EXPECT_EQ(rounds_->now().position, 100 * (kFewestLocalSteps - 1));
}

}  // namespace
}  // namespace cddp
