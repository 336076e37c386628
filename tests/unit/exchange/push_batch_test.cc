#include "worker/exchange/push_batch.h"

#include <gtest/gtest.h>

#include <string>

namespace cddp {
namespace {

Push PushOf(uint32_t bucket, size_t bytes) {
  Push push;
  push.bucket = bucket;
  push.update = SharedBytes::Own(std::string(bytes, 'u'));
  return push;
}

TEST(PushBatchTest, KeepsOrderAndIsEmptyOnceTaken) {
  PushBatch batch;
  for (const uint32_t bucket : {9, 8, 3}) {
    ASSERT_TRUE(batch.Takes(1, PushOf(bucket, 10), 100));
    batch.Add(1, PushOf(bucket, 10), 100);
  }
  const std::vector<Push> taken = batch.Take();
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[0].bucket, 9u);
  EXPECT_EQ(taken[2].bucket, 3u);
  EXPECT_TRUE(batch.empty());
  EXPECT_TRUE(batch.Takes(2, PushOf(2, kMostCallBytes + 1), 100)) << "alone, an update may be of any size";
}

TEST(PushBatchTest, HasOneServer) {
  PushBatch batch;
  batch.Add(1, PushOf(9, 10), 100);
  EXPECT_FALSE(batch.Takes(0, PushOf(8, 10), 100));
}

TEST(PushBatchTest, IsBoundedInBytesPushesAndTheWeightsThatItsAnswersMayHold) {
  PushBatch batch;
  batch.set_full_bytes(kMostCallBytes);
  batch.Add(0, PushOf(9, kMostCallBytes - 10), 100);
  EXPECT_TRUE(batch.Takes(0, PushOf(8, 10), 100));
  EXPECT_FALSE(batch.Takes(0, PushOf(8, 11), 100));
  EXPECT_FALSE(batch.Takes(0, PushOf(8, 10), ParameterLayout::kMaxBucketElements));
  batch.Take();
  for (uint32_t i = 0; i < kMostPushes; ++i) {
    ASSERT_TRUE(batch.Takes(0, PushOf(1000 - i, 1), 1));
    batch.Add(0, PushOf(1000 - i, 1), 1);
  }
  EXPECT_FALSE(batch.Takes(0, PushOf(1, 1), 1));
}

}  // namespace
}  // namespace cddp
