// Memory that a compression needs while it runs. A bucket of which a large part is sent would need as much as its own
// weights, so the buckets that one thread compresses share it.

#ifndef COMMON_COMPRESS_SCRATCH_H_
#define COMMON_COMPRESS_SCRATCH_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/compress/candidates.h"

namespace cddp {

struct CompressScratch {
  Candidates candidates{0};
  std::vector<uint32_t> indices;
  std::vector<float> values;
  std::vector<float> decoded;
};

// The calling thread's, with no candidates and room for at least `capacity`; what it held is lost.
CompressScratch& ThreadScratch(size_t capacity);

}  // namespace cddp

#endif  // COMMON_COMPRESS_SCRATCH_H_
