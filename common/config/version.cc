#include "common/config/version.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace cddp {

extern const char kCommit[];  // each build writes its file (cmake/WriteCommit.cmake)

std::string VersionText(absl::string_view program) {
  const absl::string_view commit = kCommit;
  return absl::StrCat(program, " ", CDDP_VERSION, commit.empty() ? "" : absl::StrCat(" (commit ", commit, ")"));
}

void AnswerVersion(absl::string_view program, int argc, char** argv) {
  if (argc != 2 || absl::string_view(argv[1]) != "--version") return;
  std::puts(VersionText(program).c_str());
  std::exit(0);
}

}  // namespace cddp
