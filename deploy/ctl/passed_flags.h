// Flags of cddp-server and cddp-worker on the command line of `cddp train` and `cddp run`.

#ifndef DEPLOY_CTL_PASSED_FLAGS_H_
#define DEPLOY_CTL_PASSED_FLAGS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Turns the flags that change a result (common/agreement/settings.h), except those that `is_own` knows, into words of
// --server_flags and --worker_flags: "--residual_decay=0.9" becomes "--worker_flags=--residual_decay=0.9". A flag that
// both programs have goes to both, but for the optimizer's, which become words of --optimizer_flags.
std::vector<std::string> PassFlagsOn(const std::vector<std::string>& args,
                                     const std::function<bool(absl::string_view name)>& is_own);

// The same for flags that only servers have: they become words of --server_flags.
std::vector<std::string> PassServerFlagsOn(const std::vector<std::string>& args,
                                           const std::function<bool(absl::string_view name)>& is_own);

// The names of those flags, for --help: "--beta1 --beta2".
std::string PassedFlagNames(const std::function<bool(absl::string_view name)>& is_own);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_PASSED_FLAGS_H_
