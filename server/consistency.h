// When workers wait for each other.

#ifndef SERVER_CONSISTENCY_H_
#define SERVER_CONSISTENCY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

enum class Consistency {
  kSync,   // a step is complete when all active workers, or `quorum` of them, have contributed
  kStale,  // contributions are applied as they come; a worker waits while it is `max_staleness` steps ahead of the
           // slowest (stale synchronous parallel, Ho et al. 2013). Only bucket 0 counts: workers push every
           // bucket in every step, so that a worker that waits there waits everywhere. If each bucket counted, a
           // worker could be ahead of another in one and behind it in another, and they would wait for each other for
           // good.
  kAsync,  // contributions are applied as they come; no worker waits
};

struct ConsistencyOptions {
  Consistency mode = Consistency::kSync;
  uint32_t quorum = 0;         // sync: contributions that close a round; 0: all active workers'
  uint64_t max_staleness = 4;  // stale
};

// Largest age in versions of a contribution's base version while no worker is lost; 0: no bound, or none is
// needed.
uint64_t StalenessBound(const ConsistencyOptions& options, uint32_t worker_count);

// InvalidArgument naming the flag whose value makes no sense.
absl::Status Validate(const ConsistencyOptions& options, uint32_t worker_count);

// For ABSL_FLAG: "sync", "stale", "async".
bool AbslParseFlag(absl::string_view text, Consistency* mode, std::string* error);
std::string AbslUnparseFlag(Consistency mode);

}  // namespace cddp

#endif  // SERVER_CONSISTENCY_H_
