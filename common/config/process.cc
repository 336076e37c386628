#include "common/config/process.h"

#include <malloc.h>
#include <sys/resource.h>

#include "absl/synchronization/mutex.h"
#include "common/config/available_cores.h"

namespace cddp {

void TuneProcess() {
  mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
  mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
  mallopt(M_ARENA_MAX, 2 * AvailableCores());
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

void ReturnFreeMemory() { malloc_trim(0); }

}  // namespace cddp
