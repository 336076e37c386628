// Flags that files were written under, as text: "--flag=value" separated by spaces.

#ifndef COMMON_CONFIG_FLAG_LIST_H_
#define COMMON_CONFIG_FLAG_LIST_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// The first difference of the flags that a file was written under from those of this `process` ("server", "worker"):
// "was written with --a=1, but this server has --a=2". Empty if there is none.
std::string DescribeFlagDifference(absl::string_view written, absl::string_view ours, absl::string_view process);

}  // namespace cddp

#endif  // COMMON_CONFIG_FLAG_LIST_H_
