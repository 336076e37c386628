// The number of cores that this process may use: fewer than the machine's in a container or under taskset.

#ifndef COMMON_CONFIG_AVAILABLE_CORES_H_
#define COMMON_CONFIG_AVAILABLE_CORES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// The least of the machine's cores, the process's affinity and its cgroups' quota of processor time, rounded down; at
// least 1.
int AvailableCores();

// For AvailableCores and its test: cores that the quotas allow, by the text of /proc/self/cgroup and the file system of
// the cgroups, version 2 or 1, that is mounted at `root`; parents' quotas count as well. Infinite if there is no
// quota.
double QuotaCores(absl::string_view cgroups, const std::string& root);

}  // namespace cddp

#endif  // COMMON_CONFIG_AVAILABLE_CORES_H_
