#include "common/transport/call_size.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(FullCallBytesTest, TakesHalfAMillisecondOfTheNetworkWithinItsBounds) {
  EXPECT_EQ(FullCallBytes(1e6, 0.01), 50'000u);
  EXPECT_EQ(FullCallBytes(1e6, 10), kLeastCallBytes);
  EXPECT_EQ(FullCallBytes(1e9, 0.1), kMostCallBytes);
}

TEST(FullCallBytesTest, WithoutAMeasurementCallsAreSmall) {
  for (const double seconds : {0.0, -1.0, -1.0 / 0.0}) EXPECT_EQ(FullCallBytes(1e6, seconds), kLeastCallBytes);
}

}  // namespace
}  // namespace cddp
