#include "common/clock/monotonic.h"

#include "tests/simulation/runtime/kernel.h"

namespace cddp {

absl::Duration MonotonicNow() {
  return simulation::Kernel::Running() ? absl::Hours(1) + simulation::Kernel::Get().Now() : absl::ZeroDuration();
}

}  // namespace cddp
