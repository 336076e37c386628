#include "deploy/ctl/command_flags.h"

#include "absl/flags/flag.h"
#include "common/config/flag_effects.h"

ABSL_FLAG(std::string, servers, "",
          "train, run: how many parameter servers to start, 2 if not given; status, checkpoint, and run with servers "
          "that run already: their addresses, host:port,host:port");

namespace cddp::ctl {

void ParseCommandFlagsOrExit(int argc, char** argv, absl::string_view usage, const FlagScope& scope) {
  ParseCommandLineOrExit(argc, argv, usage, scope);
  CheckFlagsHaveEffectOrExit(scope);
}

}  // namespace cddp::ctl
