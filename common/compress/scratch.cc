#include "common/compress/scratch.h"

namespace cddp {

CompressScratch& ThreadScratch(size_t capacity) {
  thread_local CompressScratch scratch;
  if (scratch.candidates.capacity() < capacity) scratch.candidates = Candidates(capacity);
  scratch.candidates.set_size(0);
  return scratch;
}

}  // namespace cddp
