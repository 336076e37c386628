// The pause before the next try.

#ifndef COMMON_RETRY_BACKOFF_H_
#define COMMON_RETRY_BACKOFF_H_

#include <cstdint>

#include "absl/time/time.h"

namespace cddp {

// Exponential backoff with jitter: 50 ms, doubling up to 2 s, each +-25 % so that workers do not return all at once.
// Not thread-safe.
class Backoff {
 public:
  // `seed` differs between callers, e.g. the worker's rank.
  explicit Backoff(uint64_t seed) : random_(seed * 0x9e3779b97f4a7c15 + 1) {}
  absl::Duration Next();
  void Reset() { tries_ = 0; }

 private:
  int tries_ = 0;
  uint64_t random_;
};

}  // namespace cddp

#endif  // COMMON_RETRY_BACKOFF_H_
