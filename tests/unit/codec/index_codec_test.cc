#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "common/codec/bitmap.h"
#include "common/codec/gap8.h"
#include "common/codec/rice.h"
#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"

namespace cddp {
namespace {

constexpr uint32_t kLength = 1 << 20;

absl::Span<const uint8_t> Part(const std::string& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

TEST(Gap8Test, NineBitsAnIndexAtOnePercent) {
  const std::vector<uint32_t> indices = RandomIndices(kLength, 0.01, false, 1);
  std::string part;
  AppendGap8(indices, kLength, &part);
  EXPECT_LT(8.0 * part.size() / indices.size(), 8.8);
}

TEST(RiceTest, WithinTwoPercentOfTheEntropy) {
  for (double density : {0.001, 0.01, 0.1, 0.3}) {
    const std::vector<uint32_t> indices = RandomIndices(kLength, density, false, 2);
    std::string part;
    AppendRice(indices, kLength, &part);
    const double entropy = (-density * std::log2(density) - (1 - density) * std::log2(1 - density)) / density;
    EXPECT_LT(8.0 * part.size() / indices.size(), 1.02 * entropy + 0.1) << density;
  }
}

TEST(RiceTest, FollowsTheDensityOfEachBlock) {
  // A dense half and a sparse half: one parameter for both would cost either of them.
  std::vector<uint32_t> indices = RandomIndices(kLength / 2, 0.02, false, 3);
  for (uint32_t index : RandomIndices(kLength / 2, 0.0025, false, 4)) indices.push_back(kLength / 2 + index);
  std::string mixed, dense, sparse;
  AppendRice(indices, kLength, &mixed);
  AppendRice(RandomIndices(kLength / 2, 0.02, false, 3), kLength / 2, &dense);
  AppendRice(RandomIndices(kLength / 2, 0.0025, false, 4), kLength / 2, &sparse);
  EXPECT_LT(mixed.size(), 1.02 * static_cast<double>(dense.size() + sparse.size()));
}

TEST(RiceTest, ParameterIsLogOfTheMeanGap) {
  EXPECT_EQ(RiceParameter(100, 1), 6);
  EXPECT_EQ(RiceParameter(1, 1), 0);
  EXPECT_EQ(RiceParameter(1024, 1024), 0);
  EXPECT_EQ(RiceParameter(uint64_t{1} << 28, 1), 27);
}

// A block can be decoded alone, given only its entry.
TEST(IndexBlocksTest, BlocksDecodeInAnyOrder) {
  const std::vector<uint32_t> indices = RandomIndices(kLength, 0.01, true, 5);
  std::string gap8, rice;
  AppendGap8(indices, kLength, &gap8);
  const uint8_t last = AppendRice(indices, kLength, &rice);
  ASSERT_TRUE(ValidateGap8(Part(gap8), indices.size(), kLength).ok());
  ASSERT_TRUE(ValidateRice(Part(rice), indices.size(), kLength, last).ok());
  for (size_t number = IndexBlockCount(indices.size()); number-- > 0;) {
    std::vector<uint32_t> decoded(kDecodeRoom);
    for (bool use_rice : {false, true}) {
      const IndexBlock block = GetIndexBlock(Part(use_rice ? rice : gap8), indices.size(), kLength, number);
      if (use_rice) {
        DecodeRiceBlock(block, last, decoded.data());
      } else {
        DecodeGap8Block(block, decoded.data());
      }
      for (size_t i = 0; i < block.count; ++i) ASSERT_EQ(decoded[i], indices[number * kIndexBlock + i]);
    }
  }
}

// Indices of a part that would be valid, were it not for one thing.
TEST(IndexBlocksTest, InconsistentBlocksAreRefused) {
  const std::vector<uint32_t> indices = RandomIndices(kLength, 0.01, false, 6);
  std::string part;
  AppendGap8(indices, kLength, &part);
  const size_t codes = (IndexBlockCount(indices.size()) - 1) * kIndexEntryBytes;
  ASSERT_TRUE(ValidateGap8(Part(part), indices.size(), kLength).ok());
  EXPECT_FALSE(ValidateGap8(Part(part), indices.size() - 1, kLength).ok());
  EXPECT_FALSE(ValidateGap8(Part(part), indices.size() + 1, kLength).ok());
  EXPECT_FALSE(ValidateGap8(Part(part), indices.size(), indices.back()).ok());
  EXPECT_TRUE(ValidateGap8(Part(part), indices.size(), indices.back() + 1).ok());

  for (int change : {-1, 1}) {  // disagrees with the next base
    std::string other = part;
    size_t at = codes + 5;
    while (other[at] == 0 || static_cast<uint8_t>(other[at]) >= 254) ++at;
    other[at] = static_cast<char>(other[at] + change);
    EXPECT_FALSE(ValidateGap8(Part(other), indices.size(), kLength).ok()) << change;
  }
  EXPECT_TRUE(ValidateGap8(Part("\x05"), 1, kLength).ok());
  EXPECT_FALSE(ValidateGap8(Part("\x05\xff"), 1, kLength).ok()) << "ends in an escape";
}

TEST(IndexBlocksTest, EntriesMustAscend) {
  // Two entries of 2500 indices among 5000, then 100 bytes.
  const auto valid = [](uint32_t base1, uint32_t offset1, uint32_t base2, uint32_t offset2) {
    std::string part(16 + 100, '\0');
    auto* const data = reinterpret_cast<uint8_t*>(part.data());
    WriteIndexEntry(1, base1, offset1, data);
    WriteIndexEntry(2, base2, offset2, data);
    return ValidateIndexEntries(Part(part), 2500, 5000).ok();
  };
  EXPECT_TRUE(valid(1024, 0, 2048, 100));
  EXPECT_TRUE(valid(3000, 50, 5000, 50));
  EXPECT_FALSE(valid(1023, 50, 3000, 60)) << "1024 indices do not fit below 1023";
  EXPECT_FALSE(valid(2000, 50, 3023, 60)) << "nor between 2000 and 3023";
  EXPECT_FALSE(valid(2000, 50, 5001, 60)) << "beyond the bucket";
  EXPECT_FALSE(valid(2000, 50, 4000, 49)) << "descending";
  EXPECT_FALSE(valid(2000, 50, 4000, 101)) << "beyond the part";
  EXPECT_FALSE(ValidateIndexEntries(Part(std::string(15, '\0')), 2500, 5000).ok());
}

TEST(RiceTest, BlocksMustEndWhereTheNextBegins) {
  const std::vector<uint32_t> indices = RandomIndices(kLength, 0.01, false, 6);
  std::string part;
  const uint8_t k = AppendRice(indices, kLength, &part);
  ASSERT_TRUE(ValidateRice(Part(part), indices.size(), kLength, k).ok());
  size_t low = (IndexBlockCount(indices.size()) - 1) * kIndexEntryBytes;
  while (part[low] == 0) ++low;
  part[low] = 0;  // shorter gaps
  EXPECT_FALSE(ValidateRice(Part(part), indices.size(), kLength, k).ok());
}

TEST(BitmapTest, PaddingMustBeZero) {
  std::string part;
  AppendBitmap({1, 9}, 10, &part);
  EXPECT_EQ(part, "\x02\x02");
  EXPECT_TRUE(ValidateBitmap(Part(part), 2, 10).ok());
  EXPECT_FALSE(ValidateBitmap(Part("\x02\x04"), 2, 10).ok());
  EXPECT_FALSE(ValidateBitmap(Part(part), 1, 10).ok());
  EXPECT_FALSE(ValidateBitmap(Part(part), 2, 17).ok());
}

TEST(RiceTest, PaddingMustBeZero) {
  std::string part;
  const uint8_t k = AppendRice({10, 500, 777}, 1000, &part);
  ASSERT_EQ(k, 7);  // 21 bits of lows in 3 bytes
  ASSERT_TRUE(ValidateRice(Part(part), 3, 1000, k).ok());
  std::string padded = part;
  padded[2] = static_cast<char>(padded[2] | 0x80);
  EXPECT_FALSE(ValidateRice(Part(padded), 3, 1000, k).ok());
  EXPECT_FALSE(ValidateRice(Part(part + '\0'), 3, 1000, k).ok());
}

}  // namespace
}  // namespace cddp
