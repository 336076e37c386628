#include "deploy/ctl/command_flags.h"

#include <algorithm>
#include <cstdlib>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/command_line.h"

ABSL_FLAG(std::string, servers, "",
          "train: how many parameter servers to start, 2 if not given; status, checkpoint: addresses of the servers, "
          "host:port,host:port");

namespace cddp::ctl {

void ParseCommandFlagsOrExit(int argc, char** argv, absl::string_view usage, std::vector<std::string> files,
                             const std::vector<std::string>& shared) {
  files.push_back("deploy/ctl/command_flags.cc");
  const std::vector<std::string> positional = ParseCommandLineOrExit(argc, argv, usage, files);
  if (!positional.empty()) {
    std::exit(ReportError(absl::InvalidArgumentError(
        absl::StrCat(argv[0], ": '", positional[0], "' is not a flag (cddp ", argv[0], " --help lists them)"))));
  }
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    const std::string file = flag->Filename();
    const bool ours = std::any_of(files.begin(), files.end(),
                                  [&](const std::string& part) { return absl::StrContains(file, part); }) ||
                      std::find(shared.begin(), shared.end(), name) != shared.end();
    if (!ours && flag->CurrentValue() != flag->DefaultValue()) {
      std::exit(ReportError(absl::InvalidArgumentError(
          absl::StrCat(argv[0], ": unknown flag --", name, " (cddp ", argv[0], " --help lists the flags)"))));
    }
  }
}

}  // namespace cddp::ctl
