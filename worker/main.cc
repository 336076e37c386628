// cddp-worker: one data-parallel replica.

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/codec/encoding.h"
#include "common/config/command_line.h"
#include "common/config/flag_effects.h"
#include "common/config/healthcheck_flag.h"
#include "common/config/logging.h"
#include "common/config/passive_waiting.h"
#include "common/config/process.h"
#include "common/config/progress_flag.h"
#include "common/config/stop_signal.h"
#include "common/metrics/metrics_probe.h"
#include "common/transport/address.h"
#include "common/transport/security_flags.h"
#include "worker/cluster/rank_claim.h"
#include "worker/rank_flag.h"
#include "worker/trainer/trainer.h"

ABSL_FLAG(cddp::RankFlag, rank, {0},
          "index of this worker, from 0; auto: one that nobody holds, from the first server");
ABSL_FLAG(uint32_t, workers, 1, "number of workers");
ABSL_FLAG(std::string, servers, "127.0.0.1:50051", "addresses of all servers, host:port,..., in shard order");
ABSL_FLAG(std::string, model, "simple_cnn", "mlp, simple_cnn, resnet18; resnet50_shapes: random gradients");
ABSL_FLAG(double, compute_ms, 500, "resnet50_shapes: how long a forward and backward pass idles");
ABSL_FLAG(std::string, data_dir, "data/mnist", "folder with the four IDX files of the data set");
ABSL_FLAG(uint64_t, train_examples, 0, "use only the first so many training examples; 0: all");
ABSL_FLAG(uint64_t, test_examples, 0, "use only the first so many test examples; 0: all");
ABSL_FLAG(uint32_t, epochs, 5, "passes over the training set");
ABSL_FLAG(uint32_t, batch_size, 64, "examples a step of this worker");
ABSL_FLAG(uint64_t, seed, 42, "seed of initial weights, sampling and dropout");
ABSL_FLAG(uint32_t, local_steps, 1,
          "steps a worker makes alone between two exchanges; the server's --lr is then the outer one");
ABSL_FLAG(cddp::OptimizerKind, inner_optimizer, cddp::OptimizerKind::kSgd, "with --local_steps: sgd, adam or adamw");
ABSL_FLAG(double, inner_lr, 0.05, "with --local_steps: learning rate of the worker's own steps");
ABSL_FLAG(double, inner_momentum, 0.9, "with --local_steps: momentum of the worker's own steps");
ABSL_FLAG(double, inner_weight_decay, 0, "with --local_steps: weight decay of the worker's own steps");
ABSL_FLAG(double, residual_decay, 1, "the residual is multiplied by it before each exchange, in [0, 1]");
ABSL_FLAG(double, momentum_correction, 0,
          "momentum that the worker keeps in the place of the servers' (give them --momentum=0), in [0, 1); 0: none");
ABSL_FLAG(double, clip_norm, 0, "limit of the norm of the workers' summed gradients, clipped locally; 0: none");
ABSL_FLAG(uint64_t, ratio_warmup_steps, 0, "steps in which the ratio falls from 25 % to --ratio; 0: none");
ABSL_FLAG(cddp::Selection, selection, cddp::Selection::kTopK,
          "top_k: exactly the fraction --ratio; threshold: half to twice of it, by a threshold that is carried over");
ABSL_FLAG(int32_t, threads, 1, "threads of forward and backward passes");
ABSL_FLAG(double, ratio, 0.01, "fraction of the gradient sent each step, in (0, 1]; 1: dense");
ABSL_FLAG(cddp::ValueEncoding, value_encoding, cddp::kDefaultValueEncoding, "encoding of the values sent");
ABSL_FLAG(cddp::IndexEncoding, index_encoding, cddp::IndexEncoding::kGap8, "encoding of the indices sent");
ABSL_FLAG(uint64_t, small_tensor_elements, 1024, "tensors of fewer elements (biases, normalisation) are sent whole");
ABSL_FLAG(uint64_t, bucket_bytes, 0,
          "gradient bytes of a bucket; 0: by the model's size; must be the same at all workers");
ABSL_FLAG(absl::Duration, server_timeout, absl::Seconds(60), "how long a server may be out of reach");
ABSL_FLAG(absl::Duration, stop_timeout, absl::Seconds(4),
          "after SIGTERM, how long the step under way may take; a second SIGTERM ends the worker at once");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:0", "host:port of /metrics for Prometheus; empty: none");
ABSL_FLAG(std::string, trace, "",
          "file for a trace of each step, for chrome://tracing or ui.perfetto.dev; empty: none");
ABSL_FLAG(std::string, model_output, "", "file for the trained model (rank 0); Python's torch.load opens it");
ABSL_FLAG(absl::Duration, save_timeout, absl::Seconds(60),
          "how long to try to write --model_output, on a full disk for one; then it goes to the temporary files");
ABSL_FLAG(
    std::string, checkpoint_dir, "",
    "folder of this worker's checkpoints; started again with it, the worker goes on from the latest; empty: none");
ABSL_FLAG(
    uint64_t, checkpoint_every, 100,
    "steps (exchanges, with --local_steps) between two checkpoints; 0: only at the end and on SIGTERM. The servers "
    "must remember as many: see their --log_versions");
ABSL_FLAG(uint64_t, max_skipped_steps, 20,
          "end with an error when so many steps (exchanges) in a row were skipped for a non-finite gradient; 0: never");
ABSL_FLAG(bool, stop_on_non_finite, false, "end with an error at the first non-finite gradient instead of skipping");
ABSL_FLAG(
    cddp::HealthcheckFlag, healthcheck, {},
    "ask the worker whose metrics are at --metrics_listen, or at the address given; exit 0 if it answers, else 1");
ABSL_FLAG(cddp::ProgressFlag, progress, {}, "'json': one JSON line an event on standard output");

namespace {

absl::StatusOr<cddp::TrainerOptions> OptionsFromFlags() {
  cddp::TrainerOptions options;
  absl::StatusOr<std::vector<std::string>> addresses = cddp::ParseAddresses(absl::GetFlag(FLAGS_servers));
  if (!addresses.ok()) return addresses.status();
  options.cluster.addresses = *std::move(addresses);
  absl::StatusOr<std::shared_ptr<const cddp::ClientSecurity>> security =
      cddp::ClientSecurity::Create(cddp::SecurityFromFlags());
  if (!security.ok()) return security.status();
  options.cluster.security = *std::move(security);
  options.cluster.worker_count = absl::GetFlag(FLAGS_workers);
  options.cluster.server_timeout = absl::GetFlag(FLAGS_server_timeout);
  options.cluster.rank = absl::GetFlag(FLAGS_rank).rank.value_or(0);
  if (options.cluster.rank >= options.cluster.worker_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank=", options.cluster.rank, " is outside --workers=", options.cluster.worker_count));
  }
  options.model = absl::GetFlag(FLAGS_model);
  options.data_dir = absl::GetFlag(FLAGS_data_dir);
  options.train_examples = absl::GetFlag(FLAGS_train_examples);
  options.test_examples = absl::GetFlag(FLAGS_test_examples);
  options.epochs = absl::GetFlag(FLAGS_epochs);
  options.batch_size = absl::GetFlag(FLAGS_batch_size);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.local_steps = absl::GetFlag(FLAGS_local_steps);
  options.inner.kind = absl::GetFlag(FLAGS_inner_optimizer);
  options.inner.lr.base = absl::GetFlag(FLAGS_inner_lr);
  options.inner.momentum = absl::GetFlag(FLAGS_inner_momentum);
  options.inner.weight_decay = absl::GetFlag(FLAGS_inner_weight_decay);
  options.exchange.residual_decay = absl::GetFlag(FLAGS_residual_decay);
  options.exchange.momentum_correction = absl::GetFlag(FLAGS_momentum_correction);
  options.exchange.clip_norm = absl::GetFlag(FLAGS_clip_norm);
  options.exchange.ratio_warmup_steps = absl::GetFlag(FLAGS_ratio_warmup_steps);
  options.exchange.compressor.selection = absl::GetFlag(FLAGS_selection);
  options.threads = absl::GetFlag(FLAGS_threads);
  options.bucket_elements = (absl::GetFlag(FLAGS_bucket_bytes) + 3) / sizeof(float);
  options.compute = absl::Milliseconds(absl::GetFlag(FLAGS_compute_ms));
  options.exchange.compressor.ratio = absl::GetFlag(FLAGS_ratio);
  options.exchange.compressor.value_encoding = absl::GetFlag(FLAGS_value_encoding);
  options.exchange.compressor.index_encoding = absl::GetFlag(FLAGS_index_encoding);
  options.exchange.small_tensor_elements = absl::GetFlag(FLAGS_small_tensor_elements);
  options.metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  options.trace = absl::GetFlag(FLAGS_trace);
  options.model_output = absl::GetFlag(FLAGS_model_output);
  options.save_timeout = absl::GetFlag(FLAGS_save_timeout);
  options.checkpoint_dir = absl::GetFlag(FLAGS_checkpoint_dir);
  options.checkpoint_every = absl::GetFlag(FLAGS_checkpoint_every);
  options.max_skipped_steps = absl::GetFlag(FLAGS_max_skipped_steps);
  options.stop_on_non_finite = absl::GetFlag(FLAGS_stop_on_non_finite);
  options.json_progress = absl::GetFlag(FLAGS_progress).json;
  if (absl::Status status = cddp::Validate(options.exchange); !status.ok()) return status;
  if (options.local_steps == 0) return absl::InvalidArgumentError("--local_steps must be at least 1");
  if (absl::Status status = cddp::Validate(options.inner); !status.ok()) return status;
  if (options.epochs == 0 || options.batch_size == 0 || options.threads < 1) {
    return absl::InvalidArgumentError("--epochs, --batch_size and --threads must be at least 1");
  }
  return options;
}

absl::Status Train(const cddp::StopSignal& stop) {
  absl::StatusOr<cddp::TrainerOptions> options = OptionsFromFlags();
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

constexpr absl::Duration kHealthcheckTimeout = absl::Seconds(3);

}  // namespace

int main(int argc, char** argv) {
  cddp::StartWithPassiveWaiting(argv);
  cddp::ParseCommandLineOrExit(argc, argv, "cddp-worker: one data-parallel replica of a Compressed-DDP cluster",
                               {{"main.cc", cddp::kSecurityFlagFile}});
  cddp::CheckFlagsHaveEffectOrExit();
  cddp::InitLogging();
  if (const cddp::HealthcheckFlag flag = absl::GetFlag(FLAGS_healthcheck); flag.wanted) {
    const absl::Status healthy = cddp::ProbeMetrics(
        flag.address.empty() ? absl::GetFlag(FLAGS_metrics_listen) : flag.address, kHealthcheckTimeout);
    return healthy.ok() ? 0 : cddp::ReportError(healthy);
  }
  cddp::TuneProcess();
  const cddp::StopSignal& stop = cddp::StopSignal::Install(absl::GetFlag(FLAGS_stop_timeout));
  const absl::Status status = Train(stop);
  if (status.ok()) return 0;
  const int code = cddp::ReportError(status);
  // Above 127, so that whoever starts processes again knows that this one is worth it.
  return stop.received() != 0 ? 128 + stop.received() : code;
}
