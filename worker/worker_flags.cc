#include "worker/worker_flags.h"

#include <spdlog/spdlog.h>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/config/progress_flag.h"
#include "common/config/steps_choice.h"
#include "common/transport/address.h"
#include "common/transport/security_flags.h"
#include "worker/optimizer/parameter_groups.h"
#include "worker/trainer/worker_settings.h"

ABSL_FLAG(cddp::RankFlag, rank, {0},
          "index of this worker, from 0; auto: one that nobody holds, from the first server");
ABSL_FLAG(uint32_t, workers, 1, "number of workers");
ABSL_FLAG(std::string, servers, "127.0.0.1:50051", "addresses of all servers, host:port,..., in shard order");
ABSL_FLAG(
    std::string, model, "simple_cnn",
    "mlp, simple_cnn, bn_cnn, resnet18; gpt: text; resnet50_shapes: random gradients; or a TorchScript file, which "
    "must have a '.' or '/' in its name (docs/torchscript.md)");
ABSL_FLAG(cddp::LossChoice, loss, cddp::LossChoice::kAuto,
          "TorchScript file: cross_entropy, of logits and classes; mse; bce, of logits; module, its own method "
          "loss(outputs, targets); auto: its own if it has one, else cross_entropy");
ABSL_FLAG(double, compute_ms, 500, "resnet50_shapes: how long a forward and backward pass idles");
ABSL_FLAG(std::string, data_dir, "data/mnist", "folder with the four IDX files of the data set");
ABSL_FLAG(
    std::string, data, "",
    "gpt: text to learn, a file or all files of a folder; the last tenth is to validate. TorchScript file: the "
    "arrays x_train, y_train, x_test, y_test in a .npz or .safetensors file, or in .npy files of a folder; empty: "
    "the images of --data_dir");
ABSL_FLAG(uint32_t, layers, 4, "gpt: layers");
ABSL_FLAG(uint32_t, dim, 128, "gpt: width of a layer");
ABSL_FLAG(uint32_t, heads, 0, "gpt: heads of attention; 0: one for each 64 of --dim");
ABSL_FLAG(uint32_t, context, 128, "gpt: bytes that it sees, which are an example");
ABSL_FLAG(uint64_t, train_examples, 0, "use only this many training examples, the first ones; 0: all");
ABSL_FLAG(uint64_t, test_examples, 0, "use only this many test examples, the first ones; 0: all");
ABSL_FLAG(uint32_t, epochs, 5, "passes over the training set");
ABSL_FLAG(uint32_t, batch_size, 64, "examples a step of this worker");
ABSL_FLAG(uint64_t, seed, 42, "seed of initial weights, sampling and dropout");
ABSL_FLAG(cddp::OptimizerChoice, optimizer, {},
          "the worker's own optimizer, sgd, adam or adamw: its steps' change of the weights is pushed, and the servers "
          "should average (--optimizer=sgd --lr=1 --momentum=0); none: gradients are pushed, the servers' steps");
ABSL_FLAG(double, lr, 0.05, "own optimizer: learning rate");
ABSL_FLAG(cddp::LearningRateSchedule, lr_schedule, cddp::LearningRateSchedule::kConstant,
          "own optimizer: constant, step or cosine");
ABSL_FLAG(uint64_t, lr_warmup_steps, 0, "own optimizer: steps of a linear rise of the rate, before the schedule");
ABSL_FLAG(uint64_t, lr_decay_steps, 0, "step: steps between two decays; cosine: steps until the lowest rate");
ABSL_FLAG(double, lr_decay_factor, 0.1, "step: factor of each decay; cosine: lowest rate as a part of --lr");
ABSL_FLAG(double, momentum, 0.9, "own sgd: momentum, in [0, 1)");
ABSL_FLAG(bool, nesterov, false, "own sgd: Nesterov's momentum");
ABSL_FLAG(double, weight_decay, 0, "own optimizer: L2 penalty; adamw: decoupled, and not of biases and normalisation");
ABSL_FLAG(double, beta1, 0.9, "own adam, adamw: decay of the mean");
ABSL_FLAG(double, beta2, 0.999, "own adam, adamw: decay of the mean square");
ABSL_FLAG(double, epsilon, 1e-8, "own adam, adamw: added to the root mean square");
ABSL_FLAG(std::string, param_groups, "",
          "own optimizer: other rates or decay for tensors by name, 'PATTERN:lr=0.01,weight_decay=0;PATTERN:...'; the "
          "last one that matches counts");
ABSL_FLAG(cddp::StepsChoice, local_steps, {},
          "own optimizer: steps between two exchanges; auto: as few as the network hides, from 4 to 32, decided by all "
          "workers together; @FILE: what an earlier run with auto decided (--local_steps_log)");
ABSL_FLAG(std::string, local_steps_log, "",
          "--local_steps=auto: file for what was decided, to repeat the run; empty: none");
ABSL_FLAG(
    uint32_t, overlap, 0,
    "own optimizer: how many of the next round's steps are made while the exchange of the last is under way, from "
    "where this worker's own have led; more than --local_steps is all of them; 0: wait for it");
ABSL_FLAG(bool, sparse_adam, false,
          "let the servers' Adam step what --ratio below 1 sends, at a loss of quality (docs/convergence.md)");
ABSL_FLAG(double, residual_decay, 1, "the residual is multiplied by it before each exchange, in [0, 1]");
ABSL_FLAG(double, momentum_correction, 0,
          "momentum that the worker keeps in the place of the servers' (give them --momentum=0), in [0, 1); 0: none");
ABSL_FLAG(double, clip_norm, 0,
          "limit of the gradient's norm; own optimizer: of this worker's, before its step; else of all workers' summed "
          "gradients, clipped locally; 0: none");
ABSL_FLAG(uint64_t, ratio_warmup_steps, 0, "steps in which the ratio falls from 25 % to --ratio; 0: none");
ABSL_FLAG(cddp::Selection, selection, cddp::Selection::kTopK,
          "top_k: exactly the fraction --ratio; threshold: half to twice of it, by a threshold that is carried over");
ABSL_FLAG(int32_t, threads, 1, "threads of forward and backward passes");
ABSL_FLAG(cddp::DeviceChoice, device, {},
          "where the worker computes and compresses: cpu; cuda, the workers share the NVIDIA GPUs here; cuda:N; auto: "
          "cuda if all is there that it needs, else cpu (docs/gpu.md)");
ABSL_FLAG(bool, check_device, false, "print what --device means here and exit: 0, or 2 if it cannot be used");
ABSL_FLAG(bool, check_model, false,
          "load --model and its data, make a step's passes with the first examples, and exit: 0, or 2 if it cannot");
ABSL_FLAG(
    bool, check_engine, false,
    "compress every bucket on the host as well, and end with an error where the bytes differ; for a GPU that is in "
    "doubt, at a multiple of the time");
ABSL_FLAG(cddp::RatioChoice, ratio, {},
          "fraction of the gradient sent each step, in (0, 1]; 1: dense; auto: as much as the network hides behind the "
          "computation, encodings included; @FILE: what an earlier run with auto decided (--ratio_log)");
ABSL_FLAG(std::string, ratio_log, "",
          "--ratio=auto: file that remembers its decisions; empty: in --checkpoint_dir, if that is given");
ABSL_FLAG(cddp::ValueEncoding, value_encoding, cddp::kDefaultValueEncoding, "encoding of the values sent");
ABSL_FLAG(cddp::IndexEncoding, index_encoding, cddp::IndexEncoding::kGap8, "encoding of the indices sent");
ABSL_FLAG(uint64_t, small_tensor_elements, 1024, "tensors of fewer elements (biases, normalisation) are sent whole");
ABSL_FLAG(uint64_t, bucket_bytes, 0,
          "gradient bytes of a bucket; 0: by the model's size; must be the same at all workers");
ABSL_FLAG(absl::Duration, server_timeout, absl::Seconds(60), "how long a server may be out of reach");
ABSL_FLAG(absl::Duration, stop_timeout, absl::Seconds(4),
          "after SIGTERM, how long the step under way may take; a second SIGTERM ends the worker at once");
ABSL_FLAG(std::string, metrics_listen, "127.0.0.1:0", "host:port of /metrics for Prometheus; empty: none");
ABSL_FLAG(
    std::string, tensorboard, "",
    "folder for TensorBoard's event files (rank 0): loss, accuracy, bytes, ratio, residual, waiting; empty: none");
ABSL_FLAG(std::string, trace, "",
          "file for a trace of each step, for chrome://tracing or ui.perfetto.dev; empty: none");
ABSL_FLAG(std::string, model_output, "", "file for the trained model (rank 0); Python's torch.load opens it");
ABSL_FLAG(absl::Duration, save_timeout, absl::Seconds(60),
          "how long to try to write --model_output, on a full disk for one; then it goes to the temporary files");
ABSL_FLAG(
    std::string, checkpoint_dir, "",
    "folder of this worker's checkpoints; started again with it, the worker goes on from the latest; empty: none");
ABSL_FLAG(std::string, run, "",
          "name of the run that this worker takes part in: servers of another are refused, and a process that had this "
          "rank before gives way at once; empty: the run of --checkpoint_dir, or of the servers");
ABSL_FLAG(bool, without_checkpoint, false,
          "take part although --checkpoint_dir has lost this worker's checkpoint of the run: it goes on from the "
          "servers' weights, without what it had not sent yet");
ABSL_FLAG(
    uint64_t, checkpoint_every, 100,
    "steps (exchanges, with --local_steps) between two checkpoints; 0: only at the end and on SIGTERM. The servers "
    "must remember as many: see their --log_versions");
ABSL_FLAG(
    uint64_t, max_skipped_steps, 20,
    "end with an error when this many steps (exchanges) in a row were skipped for a non-finite gradient; 0: never");
ABSL_FLAG(bool, stop_on_non_finite, false, "end with an error at the first non-finite gradient instead of skipping");
ABSL_FLAG(
    cddp::HealthcheckFlag, healthcheck, {},
    "ask the worker whose metrics are at --metrics_listen, or at the address given; exit 0 if it answers, else 1");
ABSL_FLAG(cddp::ProgressFlag, progress, {}, "'json': one JSON line an event on standard output");

namespace cddp {
namespace {

absl::Status Validate(const TrainerOptions& options) {
  if (options.cluster.rank >= options.cluster.worker_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank=", options.cluster.rank, " is outside --workers=", options.cluster.worker_count));
  }
  if (absl::Status status = cddp::Validate(options.exchange); !status.ok()) return status;
  if (options.ratio.kind != RatioChoice::Kind::kFixed && options.exchange.ratio_warmup_steps > 0) {
    return absl::InvalidArgumentError("--ratio_warmup_steps needs a --ratio that is a number");
  }
  if (options.local_steps.kind == StepsChoice::Kind::kFixed && options.local_steps.steps == 0) {
    return absl::InvalidArgumentError("--local_steps must be at least 1");
  }
  if (options.optimizer.kind.has_value()) {
    if (absl::Status status = cddp::Validate(options.own_optimizer()); !status.ok()) return status;
    if (absl::Status status = ParseParameterGroups(options.param_groups).status(); !status.ok()) return status;
  }
  if (options.epochs == 0 || options.batch_size == 0 || options.threads < 1) {
    return absl::InvalidArgumentError("--epochs, --batch_size and --threads must be at least 1");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TrainerOptions> TrainerOptionsFromFlags() {
  RunSettings settings;
  absl::Status status = SetFromText<RunSettings>(
      WorkerBindings(),
      [](absl::string_view name) { return absl::FindCommandLineFlag(absl::StripPrefix(name, "--"))->CurrentValue(); },
      &settings);
  if (!status.ok()) return status;
  TrainerOptions& options = settings.options;
  absl::StatusOr<std::vector<std::string>> addresses = ParseAddresses(absl::GetFlag(FLAGS_servers));
  if (!addresses.ok()) return addresses.status();
  options.cluster.addresses = *std::move(addresses);
  if (const std::string warning = LoopbackAmongOthers(options.cluster.addresses); !warning.empty()) {
    spdlog::warn("event=loopback_among_servers reason=\"{}\"", warning);
  }
  if (const std::string listen = absl::GetFlag(FLAGS_metrics_listen); !listen.empty()) {
    status = CheckAddress("--metrics_listen", listen, PortUse::kListen);
    if (!status.ok()) return status;
  }
  absl::StatusOr<std::shared_ptr<const ClientSecurity>> security = ClientSecurity::Create(SecurityFromFlags());
  if (!security.ok()) return security.status();
  options.cluster.security = *std::move(security);
  options.cluster.rank = absl::GetFlag(FLAGS_rank).rank.value_or(0);
  if (!options.cluster.run.name.empty()) {
    status = CheckRunName("--run", options.cluster.run.name);
    if (!status.ok()) return status;
    options.cluster.run.claim = RunClaim::kNamed;
  }
  if (options.ratio.kind == RatioChoice::Kind::kFixed) options.exchange.compressor.ratio = options.ratio.ratio;
  options.bucket_elements = (absl::GetFlag(FLAGS_bucket_bytes) + 3) / sizeof(float);
  options.compute = absl::Milliseconds(absl::GetFlag(FLAGS_compute_ms));
  options.json_progress = absl::GetFlag(FLAGS_progress).json;
  status = Validate(options);
  if (!status.ok()) return status;
  return options;
}

}  // namespace cddp
