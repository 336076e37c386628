// Which shard owns which buckets: contiguous runs whose lengths differ by at most one bucket.

#ifndef COMMON_LAYOUT_SHARD_MAP_H_
#define COMMON_LAYOUT_SHARD_MAP_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace cddp {

// A half-open run [begin, end) of buckets.
struct BucketRun {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t size() const { return end - begin; }
  bool contains(uint32_t bucket) const { return begin <= bucket && bucket < end; }
  friend bool operator==(const BucketRun&, const BucketRun&) = default;
};

// A value; safe to read from any thread.
class ShardMap {
 public:
  // InvalidArgument when there is no shard, or a shard would own no bucket.
  static absl::StatusOr<ShardMap> Create(uint32_t bucket_count, uint32_t shard_count);

  uint32_t shard_count() const { return shard_count_; }
  uint32_t bucket_count() const { return bucket_count_; }
  BucketRun run(uint32_t shard) const;
  uint32_t shard_of(uint32_t bucket) const;

 private:
  ShardMap(uint32_t bucket_count, uint32_t shard_count) : bucket_count_(bucket_count), shard_count_(shard_count) {}
  uint32_t bucket_count_;
  uint32_t shard_count_;
};

}  // namespace cddp

#endif  // COMMON_LAYOUT_SHARD_MAP_H_
