#include "common/layout/parameter_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParameterLayout Make(std::vector<TensorSpec> tensors, uint64_t bucket = 0) {
  absl::StatusOr<ParameterLayout> layout = ParameterLayout::Create(std::move(tensors), bucket);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *std::move(layout);
}

TEST(ParameterLayoutTest, ConcatenatesTensorsInModelOrder) {
  const ParameterLayout layout = Make({{"w", {3, 4}}, {"b", {5}}, {"scalar", {}}}, 7);
  EXPECT_EQ(layout.total_elements(), 18u);
  EXPECT_EQ(layout.tensor_range(1), (ElementRange{12, 17}));
  EXPECT_EQ(layout.tensor_range(2), (ElementRange{17, 18}));
  EXPECT_EQ(layout.bucket_count(), 3u);
  EXPECT_EQ(layout.bucket_range(1), (ElementRange{7, 14}));
  EXPECT_EQ(layout.bucket_range(2), (ElementRange{14, 18}));
}

TEST(ParameterLayoutTest, BuffersHaveBucketsOfTheirOwnBehindTheParametersAndCountersNoElements) {
  const ParameterLayout layout = Make({{"w", {17}},
                                       {"mean", {3}, TensorKind::kBuffer},
                                       {"var", {8}, TensorKind::kBuffer},
                                       {"batches", {}, TensorKind::kCounter}},
                                      10);
  EXPECT_EQ(layout.parameter_elements(), 17u);
  EXPECT_EQ(layout.total_elements(), 28u);
  EXPECT_EQ(layout.bucket_count(), 4u);
  const std::vector<ElementRange> ranges = {{0, 10}, {10, 17}, {17, 27}, {27, 28}};
  for (uint32_t bucket = 0; bucket < 4; ++bucket) {
    EXPECT_EQ(layout.bucket_range(bucket), ranges[bucket]);
    EXPECT_EQ(layout.bucket_kind(bucket), bucket < 2 ? TensorKind::kParameter : TensorKind::kBuffer);
  }
  EXPECT_EQ(layout.tensor_range(2), (ElementRange{20, 28}));
  EXPECT_EQ(layout.tensor_range(3).size(), 0u);
  EXPECT_THAT(layout.SmallTensorRanges(2, 5), ElementsAre(ElementRange{0, 3}));
  EXPECT_THAT(layout.SmallTensorRanges(3, 100), ElementsAre(ElementRange{0, 1}));
}

TEST(ParameterLayoutTest, AKindIsPartOfTheLayout) {
  const ParameterLayout plain = Make({{"w", {4}}, {"mean", {3}}}, 10);
  const ParameterLayout buffered = Make({{"w", {4}}, {"mean", {3}, TensorKind::kBuffer}}, 10);
  EXPECT_NE(plain.fingerprint(), buffered.fingerprint());
  EXPECT_EQ(plain.DescribeDifference(buffered), "tensor 1 is mean[3] here, mean[3] (buffer) there");
  EXPECT_EQ(Make({{"w", {4}}}, 10).bucket_range(0), (ElementRange{0, 4}));
  for (const auto& [tensors, says] : std::vector<std::pair<std::vector<TensorSpec>, const char*>>{
           {{{"mean", {3}, TensorKind::kBuffer}}, "at least one parameter"},
           {{{"w", {4}}, {"mean", {3}, TensorKind::kBuffer}, {"v", {2}}}, "v[2] is out of order"},
           {{{"w", {4}}, {"n", {2}, TensorKind::kCounter}}, "n[2] (counter) must be one number"}}) {
    EXPECT_THAT(ParameterLayout::Create(tensors).status().message(), HasSubstr(says));
  }
}

TEST(ParameterLayoutTest, SmallTensorsAreFoundWithinEachBucketAndMerged) {
  const ParameterLayout layout = Make({{"w", {10}}, {"a", {2}}, {"b", {2}}, {"v", {10}}, {"c", {3}}}, 13);
  EXPECT_THAT(layout.SmallTensorRanges(0, 10), ElementsAre(ElementRange{10, 13}));
  EXPECT_THAT(layout.SmallTensorRanges(1, 10), ElementsAre(ElementRange{0, 1}, ElementRange{11, 13}));
  EXPECT_THAT(layout.SmallTensorRanges(2, 10), ElementsAre(ElementRange{0, 1}));
  EXPECT_THAT(layout.SmallTensorRanges(0, 0), ElementsAre());
}

TEST(ParameterLayoutTest, DefaultBucketGrowsWithTheModelBetweenLimits) {
  EXPECT_EQ(ParameterLayout::DefaultBucketElements(100), uint64_t{1} << 14);
  EXPECT_EQ(ParameterLayout::DefaultBucketElements(1199882), uint64_t{1} << 16);
  EXPECT_EQ(ParameterLayout::DefaultBucketElements(25600000), uint64_t{1} << 19);
  EXPECT_EQ(ParameterLayout::DefaultBucketElements(uint64_t{1} << 34), uint64_t{1} << 19);
}

TEST(ParameterLayoutTest, FingerprintAndDifferenceSeeNameShapeOrderAndBucket) {
  const ParameterLayout base = Make({{"w", {3, 4}}, {"b", {4}}}, 8);
  EXPECT_EQ(base.fingerprint(), Make({{"w", {3, 4}}, {"b", {4}}}, 8).fingerprint());
  EXPECT_EQ(base.DescribeDifference(Make({{"w", {3, 4}}, {"b", {4}}}, 8)), "");
  const std::vector<ParameterLayout> others = {
      Make({{"w", {4, 3}}, {"b", {4}}}, 8), Make({{"w2", {3, 4}}, {"b", {4}}}, 8), Make({{"b", {4}}, {"w", {3, 4}}}, 8),
      Make({{"w", {3, 4}}}, 8), Make({{"w", {3, 4}}, {"b", {4}}}, 9)};
  for (const ParameterLayout& other : others) {
    EXPECT_NE(base.fingerprint(), other.fingerprint());
    EXPECT_NE(base.DescribeDifference(other), "");
  }
  EXPECT_THAT(base.DescribeDifference(others[0]), HasSubstr("tensor 0 is w[3,4] here, w[4,3] there"));
}

TEST(ParameterLayoutTest, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(ParameterLayout::Create({}).ok());
  EXPECT_FALSE(ParameterLayout::Create({{"w", {0}}}).ok());
  EXPECT_FALSE(ParameterLayout::Create({{"w", {-1}}}).ok());
  EXPECT_FALSE(ParameterLayout::Create({{"w", {int64_t{1} << 62, 4}}}).ok()) << "the product overflows 64 bits";
  EXPECT_FALSE(ParameterLayout::Create({{"w", {1}}, {"w", {1}}}).ok());
  EXPECT_FALSE(ParameterLayout::Create({{"w", {1}}}, ParameterLayout::kMaxBucketElements + 1).ok());
}

}  // namespace
}  // namespace cddp
