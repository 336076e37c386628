#include "deploy/ctl/format.h"

#include <gtest/gtest.h>

namespace cddp::ctl {
namespace {

TEST(FormatTest, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.00 kB");
  EXPECT_EQ(FormatBytes(48'230), "48.2 kB");
  EXPECT_EQ(FormatBytes(999'600), "1.00 MB");
  EXPECT_EQ(FormatBytes(123'400'000), "123 MB");
  EXPECT_EQ(FormatBytes(9.996e9), "10.0 GB");
  EXPECT_EQ(FormatBytes(5e15), "5000 TB");
}

TEST(FormatTest, Count) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(1199882), "1,199,882");
}

TEST(FormatTest, Elapsed) {
  EXPECT_EQ(FormatElapsed(absl::Microseconds(420)), "0.4 ms");
  EXPECT_EQ(FormatElapsed(absl::Milliseconds(12)), "12 ms");
  EXPECT_EQ(FormatElapsed(absl::Milliseconds(12'340)), "12.3 s");
  EXPECT_EQ(FormatElapsed(absl::Milliseconds(59'990)), "1 min 00 s");
  EXPECT_EQ(FormatElapsed(absl::Seconds(245)), "4 min 05 s");
  EXPECT_EQ(FormatElapsed(absl::Minutes(123)), "2 h 03 min");
}

TEST(FormatTest, Remaining) {
  EXPECT_EQ(FormatRemaining(absl::Milliseconds(400)), "0 s");
  EXPECT_EQ(FormatRemaining(absl::Milliseconds(12'600)), "13 s");
  EXPECT_EQ(FormatRemaining(absl::Milliseconds(59'700)), "1 min 00 s");
}

TEST(FormatTest, PercentNeverRoundsUpToAll) {
  EXPECT_EQ(FormatPercent(0.9752), "97.52 %");
  EXPECT_EQ(FormatPercent(0.999999), "99.99 %");
  EXPECT_EQ(FormatPercent(1), "100.00 %");
  EXPECT_EQ(FormatPercent(-0.05), "-5.00 %");
}

TEST(FormatTest, ExactReadsBackAsTheSameNumber) {
  EXPECT_EQ(FormatExact(0.05), "0.05");
  EXPECT_EQ(FormatExact(1), "1");
  EXPECT_EQ(std::stod(FormatExact(0.1 + 0.2)), 0.1 + 0.2);
}

}  // namespace
}  // namespace cddp::ctl
