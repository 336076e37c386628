#include "server/replica_checks.h"

#include <algorithm>

namespace cddp {

void ReplicaChecks::Note(uint64_t version, uint32_t crc32c) { known_[next_++ % known_.size()] = {version, crc32c}; }

bool ReplicaChecks::Differs(uint64_t version, uint32_t crc32c) const {
  return version != 0 && std::any_of(known_.begin(), known_.end(), [&](const Known& known) {
           return known.version == version && known.crc32c != crc32c;
         });
}

}  // namespace cddp
