#include "deploy/ctl/programs.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cddp::ctl {
namespace {

namespace fs = std::filesystem;

bool CanStart(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

}  // namespace

absl::StatusOr<std::string> FindOwnProgram(absl::string_view name) {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  if (error) return absl::InternalError(absl::StrCat("/proc/self/exe: ", error.message()));
  const std::string path = folder / std::string(name);
  if (access(path.c_str(), X_OK) == 0) return path;
  return absl::NotFoundError(absl::StrCat("there is no program ", path, ": build it with scripts/build"));
}

absl::StatusOr<std::string> FindProgram(const std::string& word) {
  std::error_code error;
  const bool is_path = absl::StrContains(word, '/');
  if (is_path && CanStart(word)) return word;
  const char* path = std::getenv("PATH");
  for (absl::string_view folder : absl::StrSplit(path == nullptr || is_path ? "" : path, ':', absl::SkipEmpty())) {
    const fs::path file = fs::path(std::string(folder)) / word;
    if (CanStart(file)) return file.string();
  }
  if (!fs::exists(word, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no program '", word, "'", is_path ? "" : " in any folder of PATH"));
  }
  if (absl::EndsWith(word, ".py")) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", word, "' is a script, no program: write python3 before it: -- python3 ", word));
  }
  return absl::InvalidArgumentError(absl::StrCat("'", word, "' is a file that cannot be started as a program",
                                                 is_path ? "" : absl::StrCat(": write ./", word, " if it can")));
}

}  // namespace cddp::ctl
