// How far a server is.

#ifndef TESTS_FAULT_CLUSTER_VERSION_H_
#define TESTS_FAULT_CLUSTER_VERSION_H_

#include <cstdint>
#include <string>
#include <utility>

namespace cddp {

// Smallest and largest version of its buckets; zeros if it does not answer.
std::pair<uint64_t, uint64_t> VersionsOf(const std::string& address);

}  // namespace cddp

#endif  // TESTS_FAULT_CLUSTER_VERSION_H_
