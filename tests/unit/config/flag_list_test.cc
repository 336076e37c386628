#include "common/config/flag_list.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(FlagListTest, TellsTheFirstDifference) {
  EXPECT_EQ(DescribeFlagDifference("--a=1 --b=2", "--a=1 --b=2", "server"), "");
  EXPECT_EQ(DescribeFlagDifference("--a=1 --b=2 --c=3", "--a=1 --b=4 --c=5", "server"),
            "was written with --b=2, but this server has --b=4");
  EXPECT_EQ(DescribeFlagDifference("--a=1", "--a=1 --b=2", "worker"),
            "was written with nothing, but this worker has --b=2");
  EXPECT_EQ(DescribeFlagDifference("--a=1 --b=2", "--a=1", "worker"),
            "was written with --b=2, but this worker has nothing");
}

}  // namespace
}  // namespace cddp
