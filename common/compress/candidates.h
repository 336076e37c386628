// The single pass over a bucket: error compensation, and collection of the elements that may be among the k largest.

#ifndef COMMON_COMPRESS_CANDIDATES_H_
#define COMMON_COMPRESS_CANDIDATES_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "common/memory/large_array.h"

namespace cddp {

// The bits of |value|: they have the order of the magnitudes, with NaN above infinity above all finite ones.
inline constexpr uint32_t kMagnitudeMask = 0x7fffffffu;
inline constexpr uint32_t kInfinityKey = 0x7f800000u;
inline uint32_t KeyOf(float value) { return std::bit_cast<uint32_t>(value) & kMagnitudeMask; }

// Raw view of Candidates for kernels.
struct CandidateOutput {
  uint32_t* indices;
  float* values;
  size_t capacity;
  size_t count;
};

// Elements of a bucket with their values, indices ascending. Storage is allocated once.
class Candidates {
 public:
  // Room beyond the capacity that the kernels may overwrite: the widest vector.
  static constexpr size_t kSlack = 64;

  explicit Candidates(size_t capacity) : capacity_(capacity), indices_(capacity + kSlack), values_(capacity + kSlack) {}

  size_t capacity() const { return capacity_; }
  size_t size() const { return size_; }
  void set_size(size_t size) { size_ = size; }
  CandidateOutput AsOutput() { return {indices_.data(), values_.data(), capacity_, size_}; }
  uint32_t* indices() { return indices_.data(); }
  const uint32_t* indices() const { return indices_.data(); }
  float* values() { return values_.data(); }
  const float* values() const { return values_.data(); }

 private:
  size_t capacity_;
  size_t size_ = 0;
  LargeArray<uint32_t> indices_;
  LargeArray<float> values_;
};

// The result of a pass. Passes over several parts of a bucket add up.
struct PassSummary {
  bool overflow = false;     // the candidates did not fit: they are a prefix of all
  uint32_t largest_key = 0;  // of all elements of the pass; above kInfinityKey if there was a NaN
  double sum_sq = 0;         // of the pass; an estimate, its last bits depend on the processor
};

// A least key above all magnitudes, with which nothing is collected.
inline constexpr uint32_t kNoCandidates = 0x80000000u;

// residual[i] += input[i - begin] for i in [begin, begin + input.size()); appends the elements of the new residual
// whose magnitude has bits of at least `least_key` to *candidates. One pass over memory, 12 bytes per element. Adds to
// *summary.
void CompensateAndCollect(absl::Span<const float> input, absl::Span<float> residual, uint32_t begin, uint32_t least_key,
                          Candidates* candidates, PassSummary* summary);

// Appends those of the elements [begin, begin + values.size()) with magnitude bits of at least `least_key`; false if
// they do not fit. They always fit while there is room for 1024 more than the bucket's remaining elements.
bool Collect(absl::Span<const float> values, uint32_t begin, uint32_t least_key, Candidates* candidates);

}  // namespace cddp

#endif  // COMMON_COMPRESS_CANDIDATES_H_
