#include "common/codec/encoding.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/codec/update_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/codec/random_updates.h"

namespace cddp {
namespace {

template <typename Encoding>
void ExpectNamesParse(int count) {
  for (int i = 0; i < count; ++i) {
    const auto encoding = static_cast<Encoding>(i);
    Encoding parsed{};
    std::string error;
    ASSERT_TRUE(AbslParseFlag(AbslUnparseFlag(encoding), &parsed, &error)) << error;
    EXPECT_EQ(parsed, encoding);
  }
}

TEST(EncodingTest, EveryNameParsesBack) {
  ExpectNamesParse<ValueEncoding>(7);
  ExpectNamesParse<IndexEncoding>(4);
}

TEST(EncodingTest, AnUnknownNameListsTheKnownOnes) {
  ValueEncoding encoding;
  std::string error;
  EXPECT_FALSE(AbslParseFlag("fp17", &encoding, &error));
  EXPECT_THAT(error, ::testing::HasSubstr("fp16"));
  EXPECT_EQ(Name(static_cast<ValueEncoding>(99)), "unknown");
}

TEST(EncodingTest, ChoosesByDensity) {
  constexpr auto kSpeed = IndexPreference::kSpeed;
  constexpr auto kSize = IndexPreference::kSize;
  EXPECT_EQ(ChooseIndexEncoding(1000000, 10000, kSpeed), IndexEncoding::kGap8);
  EXPECT_EQ(ChooseIndexEncoding(1000000, 1000, kSpeed), IndexEncoding::kRice);
  EXPECT_EQ(ChooseIndexEncoding(1000000, 200000, kSpeed), IndexEncoding::kBitmap);
  EXPECT_EQ(ChooseIndexEncoding(1000000, 10000, kSize), IndexEncoding::kRice);
  EXPECT_EQ(ChooseIndexEncoding(1000000, 200000, kSize), IndexEncoding::kRice);
  EXPECT_EQ(ChooseIndexEncoding(1000000, 500000, kSize), IndexEncoding::kBitmap);
  EXPECT_EQ(ChooseIndexEncoding(kMaxBucketLength, 1, kSize), IndexEncoding::kRice);
}

TEST(EncodingTest, ABitmapTakesThePlaceOfLargerIndices) {
  constexpr uint32_t kLength = 8000;
  EXPECT_EQ(OrBitmap(IndexEncoding::kGap8, kLength, 0), IndexEncoding::kGap8);
  EXPECT_EQ(OrBitmap(IndexEncoding::kGap8, kLength, 10), IndexEncoding::kGap8) << "never another than the two";
  EXPECT_EQ(OrBitmap(IndexEncoding::kGap8, kLength, 900), IndexEncoding::kGap8);
  EXPECT_EQ(OrBitmap(IndexEncoding::kGap8, kLength, 1001), IndexEncoding::kBitmap);
  EXPECT_EQ(OrBitmap(IndexEncoding::kRice, kLength, 1001), IndexEncoding::kRice);
  EXPECT_EQ(OrBitmap(IndexEncoding::kRice, kLength, 4000), IndexEncoding::kBitmap);
  EXPECT_EQ(OrBitmap(IndexEncoding::kDense, kLength, 4000), IndexEncoding::kDense);
}

// The choice for size is the smallest, and the one for speed is not much larger.
TEST(EncodingTest, ChoicesAreAsSmallAsTheyShouldBe) {
  constexpr uint32_t kLength = 1 << 18;
  for (double density : {0.001, 0.004, 0.01, 0.05, 0.2, 0.3, 0.5, 0.9}) {
    const std::vector<uint32_t> indices = RandomIndices(kLength, density, false, 1);
    const auto size = [&indices](IndexEncoding encoding) {
      std::vector<float> values(indices.size());
      std::string bytes;
      EncodeSparse(indices, absl::MakeSpan(values), kLength, encoding, ValueEncoding::kTernary, &bytes);
      return ValidateUpdate(bytes, kLength)->index_bytes;
    };
    uint32_t smallest = size(IndexEncoding::kGap8);
    for (IndexEncoding encoding : kSparseIndexEncodings) smallest = std::min(smallest, size(encoding));
    const auto count = static_cast<uint32_t>(indices.size());
    EXPECT_LE(size(ChooseIndexEncoding(kLength, count, IndexPreference::kSize)), smallest * 1.03) << density;
    EXPECT_LE(size(ChooseIndexEncoding(kLength, count, IndexPreference::kSpeed)), smallest * 2.0) << density;
  }
}

}  // namespace
}  // namespace cddp
