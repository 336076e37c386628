#include "common/config/memory.h"

#include <malloc.h>

namespace cddp {

void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // glibc takes no more
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace cddp
