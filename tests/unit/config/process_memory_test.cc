#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/config/process.h"

namespace cddp {
namespace {

uint64_t OwnMemory() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    uint64_t kib = 0;
    if (word == "RssAnon:" && status >> kib) return kib << 10;
  }
  return 0;
}

// As a burst leaves it: much is free, but what is still used lies between, up to the end of the arena.
std::vector<std::unique_ptr<char[]>> Burst() {
  constexpr size_t kBlock = 64 << 10;
  constexpr int kBlocks = 1000;
  std::vector<std::unique_ptr<char[]>> used;
  std::vector<std::unique_ptr<char[]>> freed;
  for (int i = 0; i < kBlocks; ++i) {
    freed.push_back(std::make_unique<char[]>(kBlock));
    used.push_back(std::make_unique<char[]>(64));
  }
  return used;
}

TEST(ProcessMemoryTest, MemoryOfABurstIsGivenBackInEveryArena) {
  TuneProcess();
  const uint64_t before = OwnMemory();
  ASSERT_GT(before, 0u);
  std::vector<std::unique_ptr<char[]>> used = Burst();
  std::vector<std::unique_ptr<char[]>> used_by_thread;
  std::thread([&used_by_thread] { used_by_thread = Burst(); }).join();
  const uint64_t burst = 2 * (uint64_t{64} << 10) * 1000;
  EXPECT_GT(OwnMemory(), before + burst / 2) << "freed memory is kept for the next step";
  ReturnFreeMemory();
  EXPECT_LT(OwnMemory(), before + burst / 10);
}

}  // namespace
}  // namespace cddp
