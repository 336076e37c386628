#include "common/memory/large_array.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>

namespace cddp {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

bool BeginsOn(size_t alignment, const void* memory) { return reinterpret_cast<uintptr_t>(memory) % alignment == 0; }

// Has the kernel been asked for huge pages at this address ("hg" in the flags of its mapping)?
bool IsAdvised(const void* memory) {
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2) {
      inside = begin <= reinterpret_cast<uintptr_t>(memory) && reinterpret_cast<uintptr_t>(memory) < end;
    }
    if (inside && line.rfind("VmFlags:", 0) == 0) return line.find(" hg") != std::string::npos;
  }
  return false;
}

TEST(LargeArrayTest, BeginsOnACacheLineOrAHugePage) {
  for (const size_t size : {1, 3, 100, 524287}) {
    const LargeArray<float> array(size);
    EXPECT_TRUE(BeginsOn(64, array.data())) << size;
  }
  for (const size_t size : {524288, 524289, 3'000'000}) {
    const LargeArray<float> array(size);
    EXPECT_TRUE(BeginsOn(kHugePage, array.data())) << size;
  }
}

TEST(LargeArrayTest, LargeOnesAskForHugePages) {
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) GTEST_SKIP() << "this kernel has none";
  const LargeArray<float> large(kHugePage / sizeof(float));
  EXPECT_TRUE(IsAdvised(large.data()));
}

TEST(LargeArrayTest, IsAVectorOtherwise) {
  LargeArray<uint32_t> array = {1, 2, 3};
  for (uint32_t i = 0; i < 1'000'000; ++i) array.push_back(i);
  LargeArray<uint32_t> moved = std::move(array);
  EXPECT_EQ(moved.size(), 1'000'003U);
  EXPECT_EQ(moved.back(), 999'999U);
  EXPECT_EQ(LargeArray<float>(1'000'000), LargeArray<float>(1'000'000, 0.0f));
}

}  // namespace
}  // namespace cddp
