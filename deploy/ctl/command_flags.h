// Flags of a tool that has several commands, each with its own.

#ifndef DEPLOY_CTL_COMMAND_FLAGS_H_
#define DEPLOY_CTL_COMMAND_FLAGS_H_

#include <string>

#include "absl/flags/declare.h"
#include "absl/strings/string_view.h"
#include "common/config/command_line.h"

// Flags are global, and two commands give this one different meanings: train takes a number, status addresses.
ABSL_DECLARE_FLAG(std::string, servers);

namespace cddp::ctl {

inline constexpr char kCommandFlagFile[] = "deploy/ctl/command_flags.cc";

// Sets the flags of one command. argv[0] is its name; `scope` holds its flags, including those that it shares with
// other commands. Ends the process for --help, and with kExitBadInput for unknown flags, flags of another command,
// flags without effect, and words that are no flags.
void ParseCommandFlagsOrExit(int argc, char** argv, absl::string_view usage, const FlagScope& scope);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_COMMAND_FLAGS_H_
