// Exact selection of the k largest magnitudes among candidates.

#ifndef COMMON_COMPRESS_SELECT_LARGEST_H_
#define COMMON_COMPRESS_SELECT_LARGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/compress/candidates.h"

namespace cddp {

// Uses bisection: counting the keys above a bound is so fast (a vector per cycle) that a dozen counts are cheaper than
// one histogram. Owns scratch memory; one call at a time.
class LargestSelector {
 public:
  // Keeps the `k` candidates of largest magnitude, 1 <= k <= candidates->size(), in index order; among equal ones those
  // of lowest index. All candidates have keys of at least `least_key`. Returns the key of the smallest kept.
  uint32_t Keep(size_t k, uint32_t least_key, Candidates* candidates);

 private:
  // Bisection ends when at most this many keys are left.
  static constexpr size_t kBand = 256;

  std::array<uint32_t, kBand + Candidates::kSlack> band_;
};

}  // namespace cddp

#endif  // COMMON_COMPRESS_SELECT_LARGEST_H_
