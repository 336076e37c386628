// Flags that have an effect only under others.

#ifndef COMMON_CONFIG_FLAG_EFFECTS_H_
#define COMMON_CONFIG_FLAG_EFFECTS_H_

#include "absl/status/status.h"
#include "common/config/command_line.h"

namespace cddp {

// InvalidArgument if a flag of the scope (no files: any flag) is set to another value than its default, and has no
// effect beside the others' values (--nesterov with --optimizer=adam): it was meant to have one. The table is in the
// .cc file. Values equal to the default are let through: they ask for what happens anyway, and programs that start
// others write down every flag. Call after the command line has been read.
absl::Status CheckFlagsHaveEffect(const FlagScope& scope = {});

// For main(): prints the error and exits with kExitBadInput.
void CheckFlagsHaveEffectOrExit(const FlagScope& scope = {});

}  // namespace cddp

#endif  // COMMON_CONFIG_FLAG_EFFECTS_H_
