// The parameter space: where each tensor of a model lies in one flat array of float32.
//
// All parameters are concatenated in model order, followed by the buffers. Each of the two is cut into buckets of a
// fixed number of elements (the last is shorter), regardless of the tensors' bounds; a bucket is the unit of
// compression, exchange and aggregation. Buckets depend on the model alone, never on the number of shards or workers,
// so adding shards cannot change a result.
//
// Buffers are tensors that a forward pass changes, such as the running statistics of batch normalisation. Instead of a
// gradient a worker pushes the difference of its own and the published ones, every element in fp32, and the servers
// publish the mean, regardless of the parameters' compression and optimizer: workers and servers check bucket_kind.

#ifndef COMMON_LAYOUT_PARAMETER_LAYOUT_H_
#define COMMON_LAYOUT_PARAMETER_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace cddp {

// A half-open range [begin, end) of elements.
struct ElementRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t size() const { return end - begin; }
  friend bool operator==(const ElementRange&, const ElementRange&) = default;
};

// The numbers are part of the wire and file format.
enum class TensorKind : uint8_t {
  kParameter = 0,  // float32, trained
  kBuffer = 1,     // float32, averaged among workers
  kCounter = 2,    // int64, counts training steps at each worker (num_batches_tracked): it has no elements here, and is
                   // known by its name so that an exported model is complete
};

struct TensorSpec {
  std::string name;            // as the model names it, e.g. "conv1.weight"
  std::vector<int64_t> shape;  // empty for a scalar
  TensorKind kind = TensorKind::kParameter;
  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

// Immutable after Create; safe to read from any thread.
class ParameterLayout {
 public:
  // Largest parameter space and bucket that any part of the system accepts (indices inside a bucket are 32 bits).
  static constexpr uint64_t kMaxElements = uint64_t{1} << 36;
  static constexpr uint64_t kMaxBucketElements = uint64_t{1} << 24;

  // Parameters in model order, then buffers, then counters. `bucket_elements` of 0 chooses DefaultBucketElements.
  // InvalidArgument for a model without parameters, another order of kinds, a counter of more than one number, a
  // negative or overflowing shape, a repeated name, or a size outside the limits above.
  static absl::StatusOr<ParameterLayout> Create(std::vector<TensorSpec> tensors, uint64_t bucket_elements = 0);

  // A power of two near total/32 between 16 Ki and 512 Ki elements. Small models still get enough buckets to spread
  // over several servers. For large ones netlab's table (docs/netlab.md) shows that shorter buckets lower the cost of a
  // step's last buckets, which overlaps with nothing, by more than their additional messages cost.
  static uint64_t DefaultBucketElements(uint64_t parameter_elements);

  uint64_t total_elements() const { return total_elements_; }
  uint64_t parameter_elements() const { return parameter_elements_; }  // the first elements; the rest are the buffers'
  uint64_t bucket_elements() const { return bucket_elements_; }
  uint32_t bucket_count() const { return bucket_count_; }
  ElementRange bucket_range(uint32_t bucket) const;
  TensorKind bucket_kind(uint32_t bucket) const {  // of all its elements; never kCounter
    return bucket < parameter_buckets_ ? TensorKind::kParameter : TensorKind::kBuffer;
  }
  uint32_t bucket_length(uint32_t bucket) const { return static_cast<uint32_t>(bucket_range(bucket).size()); }

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  ElementRange tensor_range(size_t tensor) const { return {offsets_[tensor], offsets_[tensor + 1]}; }

  // The parts of `bucket` that belong to tensors of fewer than `below` elements, relative to the bucket's start, sorted
  // and merged: such tensors (biases, normalisation) are always sent whole.
  std::vector<ElementRange> SmallTensorRanges(uint32_t bucket, uint64_t below) const;

  // Equal exactly if two layouts agree on names, shapes, kinds, order and bucket length, apart from collisions of the
  // 64-bit hash (servers also compare the tensors themselves).
  uint64_t fingerprint() const { return fingerprint_; }

  // Empty if equal; otherwise one line with the first difference, "tensor 2 is fc1.weight[128,9216] here,
  // fc1.weight[64,9216] there".
  std::string DescribeDifference(const ParameterLayout& there) const;

 private:
  ParameterLayout() = default;

  std::vector<TensorSpec> tensors_;
  std::vector<uint64_t> offsets_;  // tensors_.size() + 1 entries
  uint64_t total_elements_ = 0;
  uint64_t parameter_elements_ = 0;
  uint64_t bucket_elements_ = 0;
  uint32_t bucket_count_ = 0;
  uint32_t parameter_buckets_ = 0;
  uint64_t fingerprint_ = 0;
};

}  // namespace cddp

#endif  // COMMON_LAYOUT_PARAMETER_LAYOUT_H_
