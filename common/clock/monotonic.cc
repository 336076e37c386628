#include "common/clock/monotonic.h"

#include <chrono>

namespace cddp {

absl::Duration MonotonicNow() { return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()); }

}  // namespace cddp
