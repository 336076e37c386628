#include "server/server_flags.h"

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/strip.h"
#include "common/transport/security_flags.h"
#include "server/server_settings.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:50051", "host:port for workers; port 0 takes any free one");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:9464", "host:port of /metrics for Prometheus; empty: none");
ABSL_FLAG(uint32_t, shard, 0, "index of this server, from 0");
ABSL_FLAG(uint32_t, shards, 1, "number of servers");
ABSL_FLAG(uint32_t, workers, 1, "number of workers; a step is complete when all have contributed");
ABSL_FLAG(cddp::Consistency, consistency, cddp::Consistency::kSync,
          "sync: a step waits for all workers; stale: a worker waits while it is too far ahead; async: nobody waits");
ABSL_FLAG(uint32_t, quorum, 0, "sync: a step waits for this many workers; later ones count in the next; 0: for all");
ABSL_FLAG(uint64_t, max_staleness, 4, "stale: most steps a worker may be ahead of the slowest");
ABSL_FLAG(cddp::OptimizerKind, optimizer, cddp::OptimizerKind::kSgd, "sgd, adam or adamw");
ABSL_FLAG(double, lr, 0.05, "learning rate");
ABSL_FLAG(cddp::LearningRateSchedule, lr_schedule, cddp::LearningRateSchedule::kConstant, "constant, step or cosine");
ABSL_FLAG(uint64_t, lr_warmup_steps, 0, "steps of a linear rise of the rate, before the schedule");
ABSL_FLAG(uint64_t, lr_decay_steps, 0, "step: steps between two decays; cosine: steps until the lowest rate");
ABSL_FLAG(double, lr_decay_factor, 0.1, "step: factor of each decay; cosine: lowest rate as a part of --lr");
ABSL_FLAG(double, momentum, 0.9, "momentum of SGD, in [0, 1)");
ABSL_FLAG(bool, nesterov, false, "Nesterov's momentum");
ABSL_FLAG(double, weight_decay, 0, "L2 penalty, added to the gradient; adamw: decoupled from it");
ABSL_FLAG(double, beta1, 0.9, "adam, adamw: decay of the mean");
ABSL_FLAG(double, beta2, 0.999, "adam, adamw: decay of the mean square");
ABSL_FLAG(double, epsilon, 1e-8, "adam, adamw: added to the root mean square");
ABSL_FLAG(double, publish_ratio, 0,
          "fraction of weight changes sent back each step, in (0, 1]; 0: as much as was pushed");
ABSL_FLAG(cddp::ValueEncoding, value_encoding, cddp::kDefaultValueEncoding, "encoding of the values sent back");
ABSL_FLAG(cddp::IndexEncoding, index_encoding, cddp::IndexEncoding::kGap8, "encoding of the indices sent back");
ABSL_FLAG(uint64_t, small_tensor_elements, 1024, "tensors of fewer elements (biases, normalisation) are sent whole");
ABSL_FLAG(uint64_t, max_parameters, uint64_t{1} << 31, "most parameters this server takes memory for");
ABSL_FLAG(absl::Duration, lease, absl::Seconds(10), "a worker silent for this long counts as lost");
ABSL_FLAG(
    absl::Duration, start_timeout, absl::InfiniteDuration(),
    "how long the first step waits for all workers, from the first that comes; then it is made without those that "
    "are missing (they may join later), or the server ends with an error if there are fewer than --min_workers");
ABSL_FLAG(uint32_t, min_workers, 0, "with --start_timeout: fewest workers to begin with; 0: all");
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
ABSL_FLAG(
    uint64_t, log_versions, 1,
    "keep the changes of at least this many last versions in memory, however large, for workers that go on from a "
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
ABSL_FLAG(
    std::string, run, "",
    "name of the run that this server is for: a --state_dir of another is refused; empty: that of --state_dir, or "
    "of the workers that come first");
ABSL_FLAG(bool, resume, false, "the run must be in --state_dir: one without its state is refused, not begun anew");
ABSL_FLAG(bool, begin_anew, false,
          "let a new run begin although workers of another one come, whose state this server has lost");
ABSL_FLAG(bool, exit_when_finished, false,
          "end with exit code 0 once every worker has left as finished; with --state_dir also when started again");
ABSL_FLAG(cddp::ProgressFlag, progress, {}, "'json': one JSON line on standard output when listening");

namespace cddp {

absl::StatusOr<ServerOptions> ServerOptionsFromFlags() {
  ServerOptions options;
  absl::Status status = SetFromText<ServerOptions>(
      ServerBindings(),
      [](absl::string_view name) { return absl::FindCommandLineFlag(absl::StripPrefix(name, "--"))->CurrentValue(); },
      &options);
  if (!status.ok()) return status;
  options.security = SecurityFromFlags();
  return options;
}

}  // namespace cddp
