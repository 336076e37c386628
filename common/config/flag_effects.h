// Flags that have an effect only with certain values of others.

#ifndef COMMON_CONFIG_FLAG_EFFECTS_H_
#define COMMON_CONFIG_FLAG_EFFECTS_H_

#include "absl/status/status.h"
#include "common/config/command_line.h"

namespace cddp {

// InvalidArgument if a flag of the scope (no files: any flag) is set to a value other than its default, but has no
// effect with the values of the other flags (--nesterov with --optimizer=adam): the user meant it to have one. The
// table is in the .cc file. Values equal to the default are accepted: they change nothing, and programs that start
// others pass every flag. Call after the command line has been read.
absl::Status CheckFlagsHaveEffect(const FlagScope& scope = {});

// For main(): prints the error and exits with kExitBadInput.
void CheckFlagsHaveEffectOrExit(const FlagScope& scope = {});

}  // namespace cddp

#endif  // COMMON_CONFIG_FLAG_EFFECTS_H_
