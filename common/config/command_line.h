// Command lines: absl flags, with one clear line and exit code 2 for whatever is wrong.

#ifndef COMMON_CONFIG_COMMAND_LINE_H_
#define COMMON_CONFIG_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp {

// Exit codes of all our programs.
inline constexpr int kExitFailure = 1;   // something failed while running
inline constexpr int kExitBadInput = 2;  // the command line, a file or a peer's configuration is wrong: do not retry

// Sets flags from `--name=value`, `--name value`, `--bool`, `--nobool` and `--flagfile=FILE` (one flag a line, '#'
// begins a comment); returns the positional arguments without the program's name. InvalidArgument names the flag that
// is unknown or whose value does not parse. Call once, before threads start. (absl's own parser ends the process with
// code 1 and several lines; hence this one, over absl's reflection interface.)
absl::StatusOr<std::vector<std::string>> ParseCommandLine(const std::vector<std::string>& args);

// ParseCommandLine for main(): prints the error and exits with kExitBadInput; answers --help with `usage` and the flags
// defined in files whose path contains one of `flag_files`, and exits with 0.
std::vector<std::string> ParseCommandLineOrExit(int argc, char** argv, absl::string_view usage = "",
                                                const std::vector<std::string>& flag_files = {"main.cc"});

// The flags (name, default, help) defined in files whose path contains one of `flag_files`, one a paragraph.
std::string DescribeFlags(const std::vector<std::string>& flag_files);

// Prints "program: message" to stderr and returns the exit code that fits the status.
int ReportError(const absl::Status& status);

}  // namespace cddp

#endif  // COMMON_CONFIG_COMMAND_LINE_H_
