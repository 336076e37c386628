#include "deploy/ctl/axis.h"

#include <gtest/gtest.h>

#include <cmath>

namespace cddp::ctl {
namespace {

TEST(AxisTest, FromZeroCoversTheValuesWithRoundSteps) {
  const Axis axis = Axis::FromZero(0.43);
  EXPECT_EQ(axis.low(), 0);
  EXPECT_DOUBLE_EQ(axis.high(), 0.5);
  EXPECT_EQ(axis.Label(0), "0.0");
  EXPECT_EQ(axis.Label(Axis::kIntervals), "0.5");
  EXPECT_DOUBLE_EQ(Axis::FromZero(20).high(), 20);
  EXPECT_EQ(Axis::FromZero(12).Label(1), "2.5");
}

TEST(AxisTest, FromZeroTakesWhatCannotBeDrawn) {
  for (double max : {0.0, -1.0, std::nan(""), HUGE_VAL}) EXPECT_EQ(Axis::FromZero(max).high(), 1) << max;
}

TEST(AxisTest, PercentStaysWithinZeroAndHundred) {
  const Axis close = Axis::Percent(98.9, 99.2);
  EXPECT_LE(close.low(), 98.9);
  EXPECT_GE(close.high(), 99.2);
  EXPECT_LE(close.high() - close.low(), 0.5 + 1e-9);
  const Axis wide = Axis::Percent(9.8, 99.1);
  EXPECT_EQ(wide.low(), 0);
  EXPECT_EQ(wide.high(), 100);
  for (double min = 0; min <= 100; min += 0.7) {
    for (double max = min; max <= 100; max += 0.7) {
      const Axis axis = Axis::Percent(min, max);
      EXPECT_GE(axis.low(), -1e-9) << min << " " << max;
      EXPECT_LE(axis.high(), 100 + 1e-9) << min << " " << max;
      EXPECT_LE(axis.low(), min + 1e-9) << min << " " << max;
      EXPECT_GE(axis.high(), max - 1e-9) << min << " " << max;
    }
  }
}

TEST(AxisTest, Place) {
  const Axis axis = Axis::FromZero(10);
  EXPECT_DOUBLE_EQ(axis.Place(0, 400, 100), 400);
  EXPECT_DOUBLE_EQ(axis.Place(5, 400, 100), 250);
  EXPECT_DOUBLE_EQ(axis.Place(10, 400, 100), 100);
}

}  // namespace
}  // namespace cddp::ctl
