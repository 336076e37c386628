#include "common/layout/shard_map.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cddp {
namespace {

TEST(ShardMapTest, RunsAreContiguousBalancedAndAgreeWithShardOf) {
  for (uint32_t buckets = 1; buckets <= 40; ++buckets) {
    for (uint32_t shards = 1; shards <= buckets; ++shards) {
      const ShardMap map = *ShardMap::Create(buckets, shards);
      uint32_t next = 0;
      for (uint32_t shard = 0; shard < shards; ++shard) {
        const BucketRun run = map.run(shard);
        EXPECT_EQ(run.begin, next);
        EXPECT_GE(run.size(), buckets / shards);
        EXPECT_LE(run.size(), buckets / shards + 1);
        for (uint32_t bucket = run.begin; bucket < run.end; ++bucket) {
          ASSERT_EQ(map.shard_of(bucket), shard) << buckets << " buckets, " << shards << " shards";
        }
        next = run.end;
      }
      EXPECT_EQ(next, buckets);
    }
  }
}

TEST(ShardMapTest, RefusesMoreShardsThanBuckets) {
  EXPECT_FALSE(ShardMap::Create(3, 4).ok());
  EXPECT_FALSE(ShardMap::Create(3, 0).ok());
}

}  // namespace
}  // namespace cddp
