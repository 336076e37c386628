// cddp-server's command line.

#ifndef SERVER_SERVER_FLAGS_H_
#define SERVER_SERVER_FLAGS_H_

#include <string>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/config/healthcheck_flag.h"
#include "common/config/progress_flag.h"
#include "server/server.h"

// Those that main() reads by itself.
ABSL_DECLARE_FLAG(std::string, listen);
ABSL_DECLARE_FLAG(std::string, health_listen);
ABSL_DECLARE_FLAG(uint32_t, shard);
ABSL_DECLARE_FLAG(bool, exit_when_finished);
ABSL_DECLARE_FLAG(absl::Duration, drain_timeout);
ABSL_DECLARE_FLAG(cddp::HealthcheckFlag, healthcheck);
ABSL_DECLARE_FLAG(cddp::ProgressFlag, progress);

namespace cddp {

// For ParseCommandLineOrExit, so that --help lists them.
inline constexpr char kServerFlagFile[] = "server/server_flags.cc";

// All options that have a flag, from the flags (server_settings.h).
absl::StatusOr<ServerOptions> ServerOptionsFromFlags();

}  // namespace cddp

#endif  // SERVER_SERVER_FLAGS_H_
