// Command lines: absl flags, with one clear line and exit code 2 for every error.

#ifndef COMMON_CONFIG_COMMAND_LINE_H_
#define COMMON_CONFIG_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp {

// Exit codes of all our programs.
inline constexpr int kExitFailure = 1;   // something failed while running
inline constexpr int kExitBadInput = 2;  // the command line, a file or a peer's configuration is wrong: do not retry

// A part of a program's flags: those defined in source files whose path contains one of `files`, and those with one
// of the `names`. A tool with several commands has the flags of all of them in one process.
struct FlagScope {
  std::vector<std::string> files;
  std::vector<std::string> names = {};
};
bool InScope(const FlagScope& scope, const absl::CommandLineFlag& flag);

// Sets flags from `--name=value`, `--name value`, `--bool`, `--nobool` and `--flagfile=FILE` (one flag a line, '#'
// begins a comment); returns the positional arguments without the program's name. InvalidArgument names a flag that
// is unknown or outside the scope, with the one that was probably meant, or whose value does not parse. Call before
// threads start. (absl's own parser ends the process with code 1 and several lines; hence this one, over absl's
// reflection interface.)
absl::StatusOr<std::vector<std::string>> ParseCommandLine(const std::vector<std::string>& args,
                                                          const FlagScope* scope = nullptr);

// InvalidArgument if a word is left over: our programs use no words, and the user meant it to have an effect
// (`--insecure false`). `args` is the whole command line.
absl::Status RefuseWords(const std::vector<std::string>& args, const std::vector<std::string>& positional);

// ParseCommandLine and RefuseWords for main(), within `scope` or, without files, all flags: prints the error and exits
// with kExitBadInput; answers --help and -h with `usage` and the scope's flags, and exits with 0.
void ParseCommandLineOrExit(int argc, char** argv, absl::string_view usage = "", const FlagScope& scope = {});

// The scope's flags (name, default, help), one per paragraph.
std::string DescribeFlags(const FlagScope& scope);

// Prints "program: message" to stderr and returns the exit code that fits the status.
int ReportError(const absl::Status& status);

}  // namespace cddp

#endif  // COMMON_CONFIG_COMMAND_LINE_H_
