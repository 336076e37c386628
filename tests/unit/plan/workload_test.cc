#include "deploy/plan/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp::plan {
namespace {

TEST(WorkloadTest, ABucketIsReadyWithTheFirstTensorThatReachesIntoIt) {
  // The backward pass goes from the last tensor to the first: 1/4, 1/4 and 2/4 of its work.
  const std::vector<CostedTensor> model = {{100, 2}, {10, 0}, {100, 1}, {90, 1}};
  const std::vector<Bucket> buckets = MakeBuckets(model, 105);
  ASSERT_EQ(buckets.size(), 3u);
  EXPECT_EQ(buckets[0].elements, 105u);
  EXPECT_EQ(buckets[1].elements, 105u);
  EXPECT_EQ(buckets[2].elements, 90u);
  EXPECT_DOUBLE_EQ(buckets[0].ready, 1);
  EXPECT_DOUBLE_EQ(buckets[1].ready, 1) << "begins with the tensor without a cost, which belongs to the one before";
  EXPECT_DOUBLE_EQ(buckets[2].ready, 1.0 / 3 + 2.0 / 3 / 4);
}

TEST(WorkloadTest, AnEvenModelHasAllItsElements) {
  for (uint64_t elements : {1u, 100u, 1000u, 25557032u}) {
    uint64_t sum = 0;
    for (const Bucket& bucket : MakeBuckets(EvenModel(elements), 0)) sum += bucket.elements;
    EXPECT_EQ(sum, elements);
  }
}

TEST(WorkloadTest, UpdatesAreAsLongAsTheCodecMakesThem) {
  const auto bits = [](double ratio, ValueEncoding values, IndexEncoding indices) {
    return 8 * UpdateBytes(1 << 20, ratio, values, indices) / static_cast<double>(SelectedOf(1 << 20, ratio));
  };
  // tests/bench/compress measures 24.8 and 12.9 bits.
  EXPECT_NEAR(bits(0.01, ValueEncoding::kFp16, IndexEncoding::kGap8), 24.8, 0.3);
  EXPECT_NEAR(bits(0.01, ValueEncoding::kInt4, IndexEncoding::kGap8), 12.9, 0.3);
  EXPECT_NEAR(bits(1, ValueEncoding::kFp32, IndexEncoding::kGap8), 32, 0.1);
}

TEST(WorkloadTest, ParsesShapesAndRefusesWhatIsNone) {
  const auto model = ParseShapes(R"([{"name":"a","shape":[3,4],"cost":2.5},{"shape":[]}])");
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_EQ(model->size(), 2u);
  EXPECT_EQ((*model)[0].elements, 12u);
  EXPECT_EQ((*model)[0].cost, 2.5);
  EXPECT_EQ((*model)[1].elements, 1u);
  for (const char* bad :
       {"", "{}", "[]", "[1]", R"([{"shape":3,"cost":1}])", R"([{"shape":[-3],"cost":1}])", R"([{"shape":[3]}])",
        R"([{"shape":[3],"cost":-1}])", R"([{"shape":[1000000,1000000,1000000,1000000],"cost":1}])",
        R"([{"shape":[68719476736,68719476736],"cost":1}])",
        R"([{"shape":[1],"cost":1e308},{"shape":[1],"cost":1e308}])"}) {
    EXPECT_FALSE(ParseShapes(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace cddp::plan
