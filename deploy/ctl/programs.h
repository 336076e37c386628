// The programs that a run starts.

#ifndef DEPLOY_CTL_PROGRAMS_H_
#define DEPLOY_CTL_PROGRAMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

// The path of one of our programs, which lie in the same folder as this one.
absl::StatusOr<std::string> FindOwnProgram(absl::string_view name);

// The path of the program that a shell would start for `word`. InvalidArgument if there is none, or if it is a file
// that cannot be started; the message says what to write instead.
absl::StatusOr<std::string> FindProgram(const std::string& word);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_PROGRAMS_H_
