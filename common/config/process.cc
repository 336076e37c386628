#include "common/config/process.h"

#include <malloc.h>

#include "absl/synchronization/mutex.h"

namespace cddp {

void TuneProcess() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // glibc takes no more
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace cddp
