#include "common/retry/backoff.h"

#include <algorithm>

namespace cddp {

absl::Duration Backoff::Next() {
  const double base = std::min(50.0 * (1 << std::min(tries_++, 10)), 2000.0);
  random_ = random_ * 6364136223846793005 + 1442695040888963407;
  const double jitter = 0.75 + 0.5 * static_cast<double>(random_ >> 11) / static_cast<double>(uint64_t{1} << 53);
  return absl::Milliseconds(base * jitter);
}

}  // namespace cddp
