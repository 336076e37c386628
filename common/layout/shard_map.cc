#include "common/layout/shard_map.h"

#include "absl/strings/str_cat.h"

namespace cddp {

absl::StatusOr<ShardMap> ShardMap::Create(uint32_t bucket_count, uint32_t shard_count) {
  if (shard_count == 0) return absl::InvalidArgumentError("at least one server is needed");
  if (shard_count > bucket_count) {
    return absl::InvalidArgumentError(absl::StrCat("more servers (", shard_count, ") than the model has buckets (",
                                                   bucket_count, "): use at most ", bucket_count,
                                                   " servers, or smaller buckets"));
  }
  return ShardMap(bucket_count, shard_count);
}

BucketRun ShardMap::run(uint32_t shard) const {
  const uint64_t buckets = bucket_count_;
  return {static_cast<uint32_t>(buckets * shard / shard_count_),
          static_cast<uint32_t>(buckets * (shard + 1) / shard_count_)};
}

uint32_t ShardMap::shard_of(uint32_t bucket) const {
  // The inverse of run(): the last shard whose run begins at or before the bucket.
  return static_cast<uint32_t>(((uint64_t{bucket} + 1) * shard_count_ - 1) / bucket_count_);
}

}  // namespace cddp
