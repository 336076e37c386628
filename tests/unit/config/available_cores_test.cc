#include "common/config/available_cores.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

class AvailableCoresTest : public ::testing::Test {
 protected:
  AvailableCoresTest() : root_(absl::StrCat(::testing::TempDir(), "/cddp_cgroup_", getpid())) {}
  ~AvailableCoresTest() override { fs::remove_all(root_); }

  void Put(const std::string& file, const std::string& text) const {
    fs::create_directories(fs::path(root_ + file).parent_path());
    std::ofstream(root_ + file) << text << "\n";
  }

  const std::string root_;
};

TEST_F(AvailableCoresTest, Version2TakesTheTightestOfAllLevels) {
  Put("/a/b/cpu.max", "max 100000");
  Put("/a/cpu.max", "150000 100000");
  EXPECT_DOUBLE_EQ(QuotaCores("0::/a/b\n", root_), 1.5);
  Put("/a/b/cpu.max", "50000 100000");
  EXPECT_DOUBLE_EQ(QuotaCores("0::/a/b\n", root_), 0.5);
}

TEST_F(AvailableCoresTest, AContainerSeesItsOwnAtTheRoot) {
  Put("/cpu.max", "200000 100000");
  EXPECT_DOUBLE_EQ(QuotaCores("0::/\n", root_), 2);
  EXPECT_DOUBLE_EQ(QuotaCores("0::/host/only/path\n", root_), 2);
}

TEST_F(AvailableCoresTest, Version1) {
  Put("/cpu/c/cpu.cfs_quota_us", "300000");
  Put("/cpu/c/cpu.cfs_period_us", "100000");
  EXPECT_DOUBLE_EQ(QuotaCores("4:memory:/c\n3:cpu,cpuacct:/c\n", root_), 3);
  Put("/cpu/c/cpu.cfs_quota_us", "-1");
  EXPECT_TRUE(std::isinf(QuotaCores("3:cpu,cpuacct:/c\n", root_)));
}

TEST_F(AvailableCoresTest, NothingToRead) { EXPECT_TRUE(std::isinf(QuotaCores("", root_))); }

TEST_F(AvailableCoresTest, FollowsTheAffinity) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(AvailableCores(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace cddp
