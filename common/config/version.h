// --version: a program's release, and the commit it was built from.

#ifndef COMMON_CONFIG_VERSION_H_
#define COMMON_CONFIG_VERSION_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// "cddp 0.1.0 (commit 0123456789)", with -dirty after the commit if files differed from it; without a commit if it was
// built outside of a repository.
std::string VersionText(absl::string_view program);

// Call it first in main(): prints the text and exits with 0 if the command line is --version.
void AnswerVersion(absl::string_view program, int argc, char** argv);

}  // namespace cddp

#endif  // COMMON_CONFIG_VERSION_H_
