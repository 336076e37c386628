// cddp-server: one shard of the parameter space.

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/config/command_line.h"
#include "common/config/flag_effects.h"
#include "common/config/logging.h"
#include "common/config/process.h"
#include "common/config/version.h"
#include "common/transport/address.h"
#include "common/transport/healthcheck.h"
#include "common/transport/reach.h"
#include "common/transport/security_flags.h"
#include "server/server.h"
#include "server/server_flags.h"

namespace {

constexpr absl::Duration kHealthcheckTimeout = absl::Seconds(3);

absl::Status CheckServer(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                         bool tls) {
  const absl::Status health = cddp::CheckHealth(address, credentials, kHealthcheckTimeout);
  if (health.ok()) return health;
  const absl::Status why = cddp::ExplainPort(address, tls, health);
  return absl::UnavailableError(absl::StrCat("server ", address, ": ", why.message()));
}

absl::Status Healthcheck(const cddp::HealthcheckFlag& flag) {
  if (!flag.address.empty()) {
    absl::Status status = cddp::CheckAddress("--healthcheck", flag.address, cddp::PortUse::kConnect);
    if (!status.ok()) return status;
  }
  if (const std::string own = absl::GetFlag(FLAGS_health_listen); flag.address.empty() && !own.empty()) {
    return CheckServer(cddp::LocalAddressOf(own), grpc::InsecureChannelCredentials(), /*tls=*/false);
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      cddp::MakeProbeCredentials(cddp::SecurityFromFlags());
  if (!credentials.ok()) return credentials.status();
  const std::string address = flag.address.empty() ? cddp::LocalAddressOf(absl::GetFlag(FLAGS_listen)) : flag.address;
  return CheckServer(address, *credentials, cddp::SecurityFromFlags().has_tls());
}

}  // namespace

int main(int argc, char** argv) {
  cddp::AnswerVersion("cddp-server", argc, argv);
  cddp::ParseCommandLineOrExit(argc, argv, "cddp-server: one shard of a Compressed-DDP parameter server",
                               {{cddp::kServerFlagFile, cddp::kSecurityFlagFile}});
  cddp::CheckFlagsHaveEffectOrExit();
  cddp::InitLogging();
  if (const cddp::HealthcheckFlag flag = absl::GetFlag(FLAGS_healthcheck); flag.wanted) {
    const absl::Status status = Healthcheck(flag);
    return status.ok() ? 0 : cddp::ReportError(status);
  }
  cddp::TuneProcess();

  // Blocked before any thread starts, so that only the sigwait below sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  absl::StatusOr<cddp::ServerOptions> parsed = cddp::ServerOptionsFromFlags();
  if (!parsed.ok()) return cddp::ReportError(parsed.status());
  cddp::ServerOptions& options = *parsed;
  std::atomic<int> exit_code = 0;
  if (absl::GetFlag(FLAGS_exit_when_finished)) {
    options.on_finished = [&exit_code](const absl::Status& synced) {
      spdlog::info("event=finished reason=\"every worker has left as finished\"");
      if (!synced.ok()) exit_code = cddp::ReportError(synced);
      kill(getpid(), SIGTERM);  // the only way to end
    };
  }
  options.on_not_begun = [&exit_code](const absl::Status& why) {
    exit_code = cddp::ReportError(why);
    kill(getpid(), SIGTERM);
  };
  absl::StatusOr<std::unique_ptr<cddp::Server>> server = cddp::Server::Start(options);
  if (!server.ok()) return cddp::ReportError(server.status());
  spdlog::info("event=listening shard={} address={} metrics={}", absl::GetFlag(FLAGS_shard), (*server)->address(),
               (*server)->metrics_address());
  if (absl::GetFlag(FLAGS_progress).json) {
    const nlohmann::json line = {{"event", "listening"},
                                 {"address", (*server)->address()},
                                 {"metrics_address", (*server)->metrics_address()},
                                 {"health_address", (*server)->health_address()}};
    std::printf("%s\n", line.dump().c_str());
    std::fflush(stdout);
  }

  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("event=draining signal={}", signal);
  // A second signal ends the process in the default way: all answers are in the journal.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*server)->Drain(absl::GetFlag(FLAGS_drain_timeout));
  (*server)->Stop();
  server->reset();
  spdlog::info("event=ended");
  return exit_code;
}
