// Flags of a tool that has several commands, each with its own.

#ifndef DEPLOY_CTL_COMMAND_FLAGS_H_
#define DEPLOY_CTL_COMMAND_FLAGS_H_

#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/strings/string_view.h"

// Flags are global, and two commands give this one different meanings: train takes a number, status addresses.
ABSL_DECLARE_FLAG(std::string, servers);

namespace cddp::ctl {

// Sets the flags of one command: argv[0] is its name. Ends the process for --help, and with kExitBadInput for whatever
// is wrong: unknown flags, flags of another command, positional arguments. `flag_files` are the source files that
// define the command's flags; `shared` names those of other commands that mean the same here, which `usage` must list.
void ParseCommandFlagsOrExit(int argc, char** argv, absl::string_view usage, std::vector<std::string> flag_files,
                             const std::vector<std::string>& shared = {});

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_COMMAND_FLAGS_H_
