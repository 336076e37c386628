// Memory that a compression needs while it runs. It may be as large as the bucket's weights, so the buckets that one
// thread compresses share it.

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

// The calling thread's scratch memory, without candidates and with room for at least `capacity`; old contents are lost.
CompressScratch& ThreadScratch(size_t capacity);

}  // namespace cddp

#endif  // COMMON_COMPRESS_SCRATCH_H_
