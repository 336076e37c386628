#include "worker/rounds/round_order.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(RoundOrderTest, TheNextRoundIsComputedWhileTheLastIsExchanged) {
  RoundOrder order(5);
  EXPECT_EQ(order.computing(), 5u);
  order.NoteSteps();
  EXPECT_TRUE(order.holds_back());
  order.NoteBegun();
  EXPECT_TRUE(order.is_under_way());
  EXPECT_FALSE(order.holds_back());
  EXPECT_EQ(order.computing(), 6u);
  order.NoteFinished(6);
  EXPECT_FALSE(order.is_under_way());
  EXPECT_EQ(order.computing(), 6u) << "its steps may be made, or are";
  order.NoteSteps();
  EXPECT_EQ(order.computing(), 7u);
}

TEST(RoundOrderTest, ARestoredWorkerExchangesWhatItHeldBackBeforeItComputes) {
  RoundOrder order(5, /*holds_back=*/true);
  EXPECT_TRUE(order.holds_back());
  EXPECT_EQ(order.computing(), 6u);
  order.NoteBegun();
  EXPECT_EQ(order.computing(), 6u);
}

TEST(RoundOrderTest, RoundsThatClosedWithoutThisWorkerAreLeftOut) {
  RoundOrder order(5);
  order.NoteSteps();
  order.NoteBegun();
  order.NoteFinished(9);
  EXPECT_EQ(order.computing(), 9u);
}

TEST(RoundOrderDeathTest, NothingIsExchangedTwiceOrComputedBeforeTheLastExchangeIsFinished) {
  RoundOrder order(5);
  EXPECT_DEATH(order.NoteBegun(), "nothing to exchange");
  EXPECT_DEATH(order.NoteFinished(6), "no such exchange");
  order.NoteSteps();
  EXPECT_DEATH(order.NoteSteps(), "not finished");
  order.NoteBegun();
  EXPECT_DEATH(order.NoteBegun(), "nothing to exchange");
  EXPECT_DEATH(order.NoteSteps(), "not finished");
  EXPECT_DEATH(order.NoteFinished(5), "no such exchange");
}

}  // namespace
}  // namespace cddp
