// cddp-worker's command line.

#ifndef WORKER_WORKER_FLAGS_H_
#define WORKER_WORKER_FLAGS_H_

#include <string>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/config/healthcheck_flag.h"
#include "worker/rank_flag.h"
#include "worker/trainer/trainer.h"

// The flags that main() reads itself.
ABSL_DECLARE_FLAG(cddp::RankFlag, rank);
ABSL_DECLARE_FLAG(std::string, metrics_listen);
ABSL_DECLARE_FLAG(absl::Duration, stop_timeout);
ABSL_DECLARE_FLAG(cddp::HealthcheckFlag, healthcheck);
ABSL_DECLARE_FLAG(bool, check_device);
ABSL_DECLARE_FLAG(bool, check_model);

namespace cddp {

// For ParseCommandLineOrExit, so that --help lists them.
inline constexpr char kWorkerFlagFile[] = "worker/worker_flags.cc";

// All options that have a flag, from the flags (trainer/worker_settings.h). InvalidArgument names a flag that
// makes no sense; errors of ClientSecurity::Create.
absl::StatusOr<TrainerOptions> TrainerOptionsFromFlags();

}  // namespace cddp

#endif  // WORKER_WORKER_FLAGS_H_
