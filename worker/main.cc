// cddp-worker: one data-parallel replica.

#include <cstdio>

#include "absl/flags/flag.h"
#include "common/config/command_line.h"
#include "common/config/flag_effects.h"
#include "common/config/logging.h"
#include "common/config/passive_waiting.h"
#include "common/config/process.h"
#include "common/config/stop_signal.h"
#include "common/config/version.h"
#include "common/metrics/metrics_probe.h"
#include "common/transport/security_flags.h"
#include "worker/cluster/rank_claim.h"
#include "worker/model/device.h"
#include "worker/trainer/run_device.h"
#include "worker/trainer/trainer.h"
#include "worker/worker_flags.h"

namespace {

absl::Status Train(const cddp::StopSignal& stop) {
  absl::StatusOr<cddp::TrainerOptions> options = cddp::TrainerOptionsFromFlags();
  if (!options.ok()) return options.status();
  if (!absl::GetFlag(FLAGS_rank).rank.has_value()) {
    options->cluster.incarnation = cddp::PresentIncarnation();
    absl::StatusOr<uint32_t> rank = cddp::ClaimRank(options->cluster);
    if (!rank.ok()) return rank.status();
    options->cluster.rank = *rank;
  }
  options->should_stop = [&stop] { return stop.received() != 0; };
  return cddp::RunTraining(*options);
}

// Runs --check_device; returns the exit code.
int CheckDevice() {
  const absl::StatusOr<cddp::TrainerOptions> options = cddp::TrainerOptionsFromFlags();
  if (!options.ok()) return cddp::ReportError(options.status());
  const absl::StatusOr<cddp::ChosenDevice> chosen = cddp::RunDevice(*options, cddp::FindGpus());
  if (!chosen.ok()) return cddp::ReportError(chosen.status());
  std::printf("%s (%s)\n", cddp::Name(chosen->device).c_str(), chosen->reason.c_str());
  return 0;
}

// Runs --check_model; returns the exit code.
int CheckModel() {
  const absl::StatusOr<cddp::TrainerOptions> options = cddp::TrainerOptionsFromFlags();
  if (!options.ok()) return cddp::ReportError(options.status());
  const absl::StatusOr<size_t> buckets = cddp::CheckTraining(*options);
  if (!buckets.ok()) return cddp::ReportError(buckets.status());
  std::printf("%zu buckets\n", *buckets);
  return 0;
}

constexpr absl::Duration kHealthcheckTimeout = absl::Seconds(3);

}  // namespace

int main(int argc, char** argv) {
  cddp::AnswerVersion("cddp-worker", argc, argv);
  cddp::StartWithPassiveWaiting(argv);
  cddp::ParseCommandLineOrExit(argc, argv, "cddp-worker: one data-parallel replica of a Compressed-DDP cluster",
                               {{cddp::kWorkerFlagFile, cddp::kSecurityFlagFile}});
  cddp::CheckFlagsHaveEffectOrExit();
  cddp::InitLogging();
  if (const cddp::HealthcheckFlag flag = absl::GetFlag(FLAGS_healthcheck); flag.wanted) {
    const absl::Status healthy = cddp::ProbeMetrics(
        flag.address.empty() ? absl::GetFlag(FLAGS_metrics_listen) : flag.address, "cddp_worker_", kHealthcheckTimeout);
    return healthy.ok() ? 0 : cddp::ReportError(healthy);
  }
  if (absl::GetFlag(FLAGS_check_device)) return CheckDevice();
  if (absl::GetFlag(FLAGS_check_model)) return CheckModel();
  cddp::TuneProcess();
  const cddp::StopSignal& stop = cddp::StopSignal::Install(absl::GetFlag(FLAGS_stop_timeout));
  const absl::Status status = Train(stop);
  if (status.ok()) return 0;
  const int code = cddp::ReportError(status);
  // Above 127, so that a supervisor knows that a restart makes sense.
  return stop.received() != 0 ? 128 + stop.received() : code;
}
