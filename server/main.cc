// cddp-server: one shard of the parameter space.

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "common/config/command_line.h"
#include "common/config/flag_effects.h"
#include "common/config/healthcheck_flag.h"
#include "common/config/logging.h"
#include "common/config/process.h"
#include "common/config/progress_flag.h"
#include "common/transport/address.h"
#include "common/transport/healthcheck.h"
#include "common/transport/security_flags.h"
#include "server/server.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:50051", "host:port for workers; port 0 takes any free one");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:9464", "host:port of /metrics for Prometheus; empty: none");
ABSL_FLAG(uint32_t, shard, 0, "index of this server, from 0");
ABSL_FLAG(uint32_t, shards, 1, "number of servers");
ABSL_FLAG(uint32_t, workers, 1, "number of workers; a step is complete when all have contributed");
ABSL_FLAG(cddp::Consistency, consistency, cddp::Consistency::kSync,
          "sync: a step waits for all workers; stale: a worker waits while it is too far ahead; async: nobody waits");
ABSL_FLAG(uint32_t, quorum, 0, "sync: a step waits for so many workers only, late ones count in the next; 0: for all");
ABSL_FLAG(uint64_t, max_staleness, 4, "stale: most steps a worker may be ahead of the slowest");
ABSL_FLAG(cddp::OptimizerKind, optimizer, cddp::OptimizerKind::kSgd, "sgd, adam or adamw");
ABSL_FLAG(double, lr, 0.05, "learning rate");
ABSL_FLAG(cddp::LearningRateSchedule, lr_schedule, cddp::LearningRateSchedule::kConstant, "constant, step or cosine");
ABSL_FLAG(uint64_t, lr_warmup_steps, 0, "linear rise of the rate over so many steps, before the schedule");
ABSL_FLAG(uint64_t, lr_decay_steps, 0, "step: steps between two decays; cosine: steps until the lowest rate");
ABSL_FLAG(double, lr_decay_factor, 0.1, "step: factor of each decay; cosine: lowest rate as a part of --lr");
ABSL_FLAG(double, momentum, 0.9, "momentum of SGD, in [0, 1)");
ABSL_FLAG(bool, nesterov, false, "Nesterov's momentum");
ABSL_FLAG(double, weight_decay, 0, "L2 penalty, added to the gradient; adamw: decoupled from it");
ABSL_FLAG(double, beta1, 0.9, "adam, adamw: decay of the mean");
ABSL_FLAG(double, beta2, 0.999, "adam, adamw: decay of the mean square");
ABSL_FLAG(double, epsilon, 1e-8, "adam, adamw: added to the root mean square");
ABSL_FLAG(double, publish_ratio, 0.01, "fraction of weight changes sent back each step, in (0, 1]; 1: dense");
ABSL_FLAG(cddp::ValueEncoding, value_encoding, cddp::kDefaultValueEncoding, "encoding of the values sent back");
ABSL_FLAG(cddp::IndexEncoding, index_encoding, cddp::IndexEncoding::kGap8, "encoding of the indices sent back");
ABSL_FLAG(uint64_t, small_tensor_elements, 1024, "tensors of fewer elements (biases, normalisation) are sent whole");
ABSL_FLAG(uint64_t, max_parameters, uint64_t{1} << 31, "most parameters this server takes memory for");
ABSL_FLAG(absl::Duration, lease, absl::Seconds(10), "a worker silent for this long counts as lost");
ABSL_FLAG(bool, insecure, false, "listen beyond this machine although anybody there may then train and read weights");
ABSL_FLAG(
    std::string, health_listen, "",
    "host:port of a plaintext port that answers health checks only, for probes without a certificate; empty: none");
ABSL_FLAG(absl::Duration, max_connection_age, absl::Hours(1),
          "a connection this old is made anew, with the certificates of that time; calls under way are not disturbed");
ABSL_FLAG(uint64_t, max_inflight_bytes, uint64_t{2} << 30,
          "most bytes of updates held while they wait for other workers, and of answers that one host has not read");
ABSL_FLAG(uint32_t, max_calls_per_peer, 10000, "most calls of one host that may wait at a time");
ABSL_FLAG(double, max_rate_per_peer, 100000, "most calls a second from one host; 0: any number");
ABSL_FLAG(absl::Duration, drain_timeout, absl::Seconds(20),
          "after SIGTERM, how long rounds under way may take to complete; a second SIGTERM ends the server at once");
ABSL_FLAG(cddp::HealthcheckFlag, healthcheck, {},
          "ask the server at --listen, or at the address given, whether it serves; exit 0 if so, else 1");
ABSL_FLAG(std::string, state_dir, "",
          "folder of this server's journal, on a local file system; a restarted server goes on from it; empty: none");
ABSL_FLAG(uint64_t, log_versions, 1,
          "keep at least the last so many versions' changes in memory, however large, for workers that go on from a "
          "checkpoint of that age; the changes that together are no larger than the weights are kept in any case");
ABSL_FLAG(cddp::Durability, durability, cddp::Durability::kVersion,
          "with --state_dir, what an answer waits for: version: the disk holds its version; snapshot: nothing, a crash "
          "goes back to the last snapshot; none: nothing, a crash may lose the last moment");
ABSL_FLAG(uint64_t, snapshot_bytes, 0,
          "journal bytes after which a snapshot takes its place; 0: three times as many as the last snapshot took");
ABSL_FLAG(uint64_t, checkpoint_every, 0, "versions between two checkpoints in --state_dir; 0: only by cddp checkpoint");
ABSL_FLAG(uint32_t, keep_checkpoints, 3, "newest checkpoints that are kept");
ABSL_FLAG(uint64_t, restore_version, 0,
          "go back to the checkpoint of this version and forget what came after it; started again with it, the server "
          "goes on from there; 0: go on where the journal ends");
ABSL_FLAG(bool, exit_when_finished, false,
          "end with exit code 0 once every worker has left as finished; with --state_dir also when started again");
ABSL_FLAG(cddp::ProgressFlag, progress, {}, "'json': one JSON line on standard output when listening");

namespace {

cddp::ServerOptions OptionsFromFlags() {
  cddp::ServerOptions options;
  options.listen = absl::GetFlag(FLAGS_listen);
  options.security = cddp::SecurityFromFlags();
  options.insecure = absl::GetFlag(FLAGS_insecure);
  options.health_listen = absl::GetFlag(FLAGS_health_listen);
  options.max_connection_age = absl::GetFlag(FLAGS_max_connection_age);
  options.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  options.limits = {absl::GetFlag(FLAGS_max_inflight_bytes), absl::GetFlag(FLAGS_max_calls_per_peer),
                    absl::GetFlag(FLAGS_max_rate_per_peer)};
  cddp::ShardOptions& shard = options.shard;
  shard.shard = absl::GetFlag(FLAGS_shard);
  shard.shard_count = absl::GetFlag(FLAGS_shards);
  shard.worker_count = absl::GetFlag(FLAGS_workers);
  shard.lease = absl::GetFlag(FLAGS_lease);
  shard.consistency = {absl::GetFlag(FLAGS_consistency), absl::GetFlag(FLAGS_quorum),
                       absl::GetFlag(FLAGS_max_staleness)};
  cddp::OptimizerOptions& optimizer = shard.optimizer;
  optimizer.kind = absl::GetFlag(FLAGS_optimizer);
  optimizer.lr = {absl::GetFlag(FLAGS_lr), absl::GetFlag(FLAGS_lr_schedule), absl::GetFlag(FLAGS_lr_warmup_steps),
                  absl::GetFlag(FLAGS_lr_decay_steps), absl::GetFlag(FLAGS_lr_decay_factor)};
  optimizer.momentum = absl::GetFlag(FLAGS_momentum);
  optimizer.nesterov = absl::GetFlag(FLAGS_nesterov);
  optimizer.weight_decay = absl::GetFlag(FLAGS_weight_decay);
  optimizer.beta1 = absl::GetFlag(FLAGS_beta1);
  optimizer.beta2 = absl::GetFlag(FLAGS_beta2);
  optimizer.epsilon = absl::GetFlag(FLAGS_epsilon);
  shard.publish.ratio = absl::GetFlag(FLAGS_publish_ratio);
  shard.publish.value_encoding = absl::GetFlag(FLAGS_value_encoding);
  shard.publish.index_encoding = absl::GetFlag(FLAGS_index_encoding);
  shard.small_tensor_elements = absl::GetFlag(FLAGS_small_tensor_elements);
  shard.max_parameters = absl::GetFlag(FLAGS_max_parameters);
  shard.log_versions = absl::GetFlag(FLAGS_log_versions);
  shard.state_dir = absl::GetFlag(FLAGS_state_dir);
  shard.durability = absl::GetFlag(FLAGS_durability);
  shard.snapshot_bytes = absl::GetFlag(FLAGS_snapshot_bytes);
  shard.checkpoint_every = absl::GetFlag(FLAGS_checkpoint_every);
  shard.keep_checkpoints = absl::GetFlag(FLAGS_keep_checkpoints);
  shard.restore_version = absl::GetFlag(FLAGS_restore_version);
  return options;
}

constexpr absl::Duration kHealthcheckTimeout = absl::Seconds(3);

absl::Status Healthcheck(const cddp::HealthcheckFlag& flag) {
  if (const std::string own = absl::GetFlag(FLAGS_health_listen); flag.address.empty() && !own.empty()) {
    return cddp::CheckHealth(cddp::LocalAddressOf(own), grpc::InsecureChannelCredentials(), kHealthcheckTimeout);
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      cddp::MakeProbeCredentials(cddp::SecurityFromFlags());
  if (!credentials.ok()) return credentials.status();
  const std::string address = flag.address.empty() ? cddp::LocalAddressOf(absl::GetFlag(FLAGS_listen)) : flag.address;
  return cddp::CheckHealth(address, *credentials, kHealthcheckTimeout);
}

}  // namespace

int main(int argc, char** argv) {
  cddp::ParseCommandLineOrExit(argc, argv, "cddp-server: one shard of a Compressed-DDP parameter server",
                               {{"main.cc", cddp::kSecurityFlagFile}});
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

  cddp::ServerOptions options = OptionsFromFlags();
  std::atomic<int> exit_code = 0;
  if (absl::GetFlag(FLAGS_exit_when_finished)) {
    options.on_finished = [&exit_code](const absl::Status& synced) {
      spdlog::info("event=finished reason=\"every worker has left as finished\"");
      if (!synced.ok()) exit_code = cddp::ReportError(synced);
      kill(getpid(), SIGTERM);  // the one way out
    };
  }
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
  // A second one ends the process as it would any other: what was answered is in the journal.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*server)->Drain(absl::GetFlag(FLAGS_drain_timeout));
  (*server)->Stop();
  server->reset();
  spdlog::info("event=ended");
  return exit_code;
}
