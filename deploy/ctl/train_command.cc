#include "deploy/ctl/train_command.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <system_error>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/agreement/run_identity.h"
#include "common/codec/encoding.h"
#include "common/config/available_cores.h"
#include "common/config/command_line.h"
#include "common/config/device_choice.h"
#include "common/config/flag_effects.h"
#include "common/config/loss_choice.h"
#include "common/config/model_names.h"
#include "common/config/passive_waiting.h"
#include "common/config/ratio_choice.h"
#include "common/config/steps_choice.h"
#include "common/files/durable_file.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/command_flags.h"
#include "deploy/ctl/format.h"
#include "deploy/ctl/job_check.h"
#include "deploy/ctl/passed_flags.h"
#include "deploy/ctl/programs.h"
#include "deploy/ctl/progress.h"
#include "deploy/ctl/run_folder.h"
#include "deploy/ctl/split_words.h"
#include "deploy/ctl/train_run.h"
#include "deploy/ctl/worker_check.h"

ABSL_FLAG(std::string, model, "simple_cnn",
          "mlp, simple_cnn, bn_cnn or resnet18; gpt, which learns --data; or a TorchScript file, whose path must hold "
          "a '.' or '/' (docs/torchscript.md)");
ABSL_FLAG(cddp::LossChoice, loss, cddp::LossChoice::kAuto,
          "TorchScript file: cross_entropy, of logits and classes; mse; bce, of logits; module, its own method "
          "loss(outputs, targets); auto: its own if it has one, else cross_entropy");
ABSL_FLAG(std::string, dataset, "mnist", "name of the data set; it lies in data/<name>");
ABSL_FLAG(std::string, data_dir, "", "folder with the four IDX files, if it is not data/<dataset>");
ABSL_FLAG(
    std::string, data, "",
    "gpt: text to learn, a file or all files of a folder; the last tenth is for validation. TorchScript file: the "
    "arrays x_train, y_train, x_test, y_test in a .npz or .safetensors file, or in .npy files of a folder; empty: "
    "the images of --dataset");
ABSL_FLAG(int, layers, 4, "gpt: layers");
ABSL_FLAG(int, dim, 128, "gpt: width of a layer");
ABSL_FLAG(int, heads, 0, "gpt: heads of attention; 0: one for each 64 of --dim");
ABSL_FLAG(int, context, 128, "gpt: bytes of an example, which the model sees at a time");
ABSL_FLAG(int, workers, 4, "number of workers");
ABSL_FLAG(int, epochs, 5, "passes over the training set");
ABSL_FLAG(int, batch_size, 64, "examples a step, per worker");
ABSL_FLAG(double, lr, 0,
          "learning rate of the optimizer; 0: 0.05 for sgd, 0.001 for adam and adamw, times the square root of "
          "--workers if they run at the workers");
ABSL_FLAG(double, momentum, 0.9, "momentum of SGD, in [0, 1)");
ABSL_FLAG(bool, nesterov, false, "Nesterov's momentum");
ABSL_FLAG(double, weight_decay, 0, "L2 penalty; adamw: decoupled from the gradient");
ABSL_FLAG(std::string, optimizer, "sgd", "sgd, adam or adamw");
ABSL_FLAG(
    std::string, optimizer_at, "auto",
    "where the optimizer runs: workers, before compression, as adam needs unless --ratio is 1; servers, for sgd and "
    "dense gradients; auto: by --optimizer, --ratio and --local_steps");
ABSL_FLAG(double, outer_lr, 1, "optimizer at the workers: the servers' rate for the mean of their changes");
ABSL_FLAG(double, outer_momentum, 0, "optimizer at the workers: momentum of the servers, in [0, 1)");
ABSL_FLAG(bool, outer_nesterov, false, "optimizer at the workers: Nesterov's momentum at the servers");
ABSL_FLAG(bool, sparse_adam, false,
          "allow Adam at the servers with --ratio below 1, at a loss of quality (docs/convergence.md)");
ABSL_FLAG(
    std::string, consistency, "sync",
    "sync: a step waits for all workers; stale: a worker waits while it is too far ahead; async: no worker waits");
ABSL_FLAG(int, quorum, 0, "sync: a step waits for this many workers; later ones count in the next step; 0: for all");
ABSL_FLAG(int, max_staleness, 4, "stale: largest number of steps that a worker may be ahead of the slowest");
ABSL_FLAG(
    cddp::StepsChoice, local_steps, {.steps = 0},
    "steps between two exchanges; above 1 the optimizer is at the workers; 0: 4 for adam and adamw there, else 1; "
    "auto: as few as the network hides, from 4 to 32, decided by all workers together; @FOLDER: repeats the "
    "decisions of the run with this --output");
ABSL_FLAG(int, overlap, 0,
          "optimizer at the workers: number of the next round's steps that they make during the exchange of the last "
          "round; more than --local_steps means all of them; 0: they wait for the exchange");
ABSL_FLAG(std::string, server_flags, "",
          "more flags for every cddp-server, separated by blanks, with quotes as in a shell");
ABSL_FLAG(std::string, worker_flags, "",
          "more flags for every cddp-worker, separated by blanks, with quotes as in a shell");
ABSL_FLAG(std::string, optimizer_flags, "", "the same for the programs that have the optimizer");
ABSL_FLAG(uint64_t, seed, 42, "seed of initial weights, sampling and dropout; the same seed gives the same weights");
ABSL_FLAG(bool, compress, true, "send only the largest entries; --nocompress is the dense baseline on the same path");
ABSL_FLAG(cddp::RatioChoice, ratio, {.ratio = 0},
          "fraction of the gradient, or of the weights' change, that is sent, in (0, 1]; 0: 0.01, or 0.1 where the "
          "optimizer is at the workers; auto: as much as the network hides behind the computation, encodings included; "
          "@FOLDER: repeats the decisions of the run with this --output");
ABSL_FLAG(double, publish_ratio, 0,
          "fraction of the weights' changes that is sent back, in (0, 1]; 0: as many elements as were pushed");
ABSL_FLAG(cddp::ValueEncoding, value_encoding, cddp::kDefaultValueEncoding, "encoding of the values sent");
ABSL_FLAG(cddp::IndexEncoding, index_encoding, cddp::IndexEncoding::kGap8, "encoding of the indices sent");
ABSL_FLAG(int, bucket_bytes, 0, "gradient bytes of a bucket; 0: by the model's size");
ABSL_FLAG(int, train_examples, 0, "use only this many training examples, the first ones; 0: all");
ABSL_FLAG(int, test_examples, 0, "use only this many test examples, the first ones; 0: all");
ABSL_FLAG(int, threads, 0, "threads of each worker; 0: the cores that this process may use shared evenly");
ABSL_FLAG(
    cddp::DeviceChoice, device, {},
    "where workers compute and compress: cpu; cuda, they share the NVIDIA GPUs here; cuda:N; auto: cuda if it can be "
    "used, else cpu (docs/gpu.md)");
ABSL_FLAG(
    std::string, tensorboard, "",
    "folder for TensorBoard's event files of rank 0: loss, accuracy, bytes, ratio, residual, waiting; empty: none");
ABSL_FLAG(bool, trace, false,
          "write trace-<rank>.json of each worker's steps, for chrome://tracing or ui.perfetto.dev");
ABSL_FLAG(bool, durable, false,
          "servers keep journals and workers checkpoints in the output folder, and killed "
          "processes are restarted and continue from there");
ABSL_FLAG(
    int, checkpoint_every, 0,
    "with --durable: steps (exchanges) between two checkpoints of a worker; the servers keep the changes of three "
    "times as many in memory; 0: 50, or 10 where more than a tenth of the changes is sent back");
ABSL_FLAG(bool, resume, false,
          "continue the durable run in --output, whose processes are gone, with the flags that it was started with");
ABSL_FLAG(bool, without_checkpoint, false,
          "with --resume: let workers whose checkpoint is lost continue from the servers' weights, without what they "
          "had not sent yet");
ABSL_FLAG(
    std::string, run, "",
    "name of the run, stored by its servers, workers, state and report, so that no other run is taken for it; empty: "
    "a random one");
ABSL_FLAG(bool, overwrite, false,
          "begin a new run in an --output with another run's result or state, which is lost; without this flag such a "
          "folder is refused");
ABSL_FLAG(
    std::string, relative_to, "",
    "folder at which relative paths in the other flags, except --output, begin; empty: the present one. A durable run "
    "remembers it, so that --resume works from any folder");
ABSL_FLAG(std::string, output, "", "folder for report, plot, model and logs; default runs/<time>-<model>");

namespace cddp::ctl {
namespace {

namespace fs = std::filesystem;

constexpr char kTrainUsage[] =
    "cddp train: starts parameter servers and workers on this machine and trains a model.\n\n"
    "  cddp train --model simple_cnn --dataset mnist --epochs 5 --compress --ratio 0.01\n\n"
    "Exit codes: 0 trained, 1 a process failed, 2 bad input, 130 Ctrl-C.";

constexpr int kDefaultServers = 2;
constexpr char kOwnFile[] = "deploy/ctl/train_command.cc";

// All flags of a run, by name, except those that name its folder and say that it is resumed.
using SavedFlags = std::map<std::string, std::string>;

SavedFlags RunFlags() {
  SavedFlags flags = {{"servers", absl::GetFlag(FLAGS_servers)}};
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::StrContains(flag->Filename(), kOwnFile)) flags[std::string(name)] = flag->CurrentValue();
  }
  for (const char* name : {"output", "resume", "without_checkpoint", "overwrite"}) flags.erase(name);
  return flags;
}

std::string AsFlagFile(SavedFlags flags) {
  std::error_code error;
  if (flags["relative_to"].empty()) flags["relative_to"] = fs::current_path(error).string();
  std::string text = "# The flags of this run; cddp train --resume reads them.\n";
  for (const auto& [name, value] : flags) absl::StrAppend(&text, "--", name, "=", value, "\n");
  return text;
}

// Sets the flags with which the run in `output` was started. `parse` then sets the command line's flags again, to find
// those that contradict.
absl::Status SetSavedFlags(const std::string& output, const std::function<void()>& parse) {
  if (output.empty()) return absl::InvalidArgumentError("--resume: needs --output=FOLDER of the run to go on with");
  TrainOptions options;
  options.output = output;
  if (std::error_code error; !fs::exists(FlagsPath(options), error)) {
    return absl::InvalidArgumentError(absl::StrCat("--resume: there is no run in '", output,
                                                   "' that was started with --durable (no file ", FlagsPath(options),
                                                   ")"));
  }
  const absl::StatusOr<std::vector<std::string>> read =
      ParseCommandLine({absl::StrCat("--flagfile=", FlagsPath(options))});
  if (!read.ok()) return read.status();
  const SavedFlags saved = RunFlags();
  parse();
  for (const auto& [name, value] : RunFlags()) {
    if (value != saved.at(name)) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, "=", value, " contradicts the run in ", output,
                                                     ", which was started with --", name, "=", saved.at(name)));
    }
  }
  return absl::OkStatus();
}

// Gives a new run without a name a random one, which is saved with its flags.
absl::Status NameRun() {
  const bool is_new = !absl::GetFlag(FLAGS_resume);
  if (is_new && absl::GetFlag(FLAGS_run).empty()) absl::SetFlag(&FLAGS_run, NewRunName());
  if (!absl::GetFlag(FLAGS_run).empty()) return CheckRunName("--run", absl::GetFlag(FLAGS_run));
  return absl::InvalidArgumentError("--resume: the run in --output has no name: go on with the release that began it");
}

// Changes to the folder in which the run was started, where relative paths begin; *output stays the same folder.
absl::Status EnterFolder(std::string* output) {
  const std::string folder = absl::GetFlag(FLAGS_relative_to);
  std::error_code error;
  if (folder.empty() || fs::equivalent(folder, fs::current_path(error), error)) return absl::OkStatus();
  if (!output->empty()) *output = fs::absolute(*output, error).lexically_normal().string();
  if (!error) fs::current_path(folder, error);
  if (!error) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--relative_to=", folder, ": ", error.message(), ": relative paths of this run begin there"));
}

absl::StatusOr<std::vector<std::string>> WordsOf(absl::string_view flag, const std::string& text) {
  absl::StatusOr<std::vector<std::string>> words = SplitWords(text);
  if (words.ok()) return words;
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", text, ": ", words.status().message()));
}

absl::StatusOr<int> ServersFromFlag() {
  const std::string text = absl::GetFlag(FLAGS_servers);
  if (text.empty()) return kDefaultServers;
  int servers = 0;
  if (!absl::SimpleAtoi(text, &servers)) {
    return absl::InvalidArgumentError(absl::StrCat("--servers=", text, ": must be a number"));
  }
  return servers;
}

absl::StatusOr<TrainOptions> OptionsFromFlags() {
  absl::StatusOr<int> servers = ServersFromFlag();
  if (!servers.ok()) return servers.status();
  TrainOptions options;
  options.servers = *servers;
  options.model = absl::GetFlag(FLAGS_model);
  options.dataset = absl::GetFlag(FLAGS_dataset);
  options.data_dir = absl::GetFlag(FLAGS_data_dir);
  options.data = absl::GetFlag(FLAGS_data);
  options.loss = absl::GetFlag(FLAGS_loss);
  options.layers = absl::GetFlag(FLAGS_layers);
  options.dim = absl::GetFlag(FLAGS_dim);
  options.heads = absl::GetFlag(FLAGS_heads);
  options.context = absl::GetFlag(FLAGS_context);
  options.workers = absl::GetFlag(FLAGS_workers);
  options.epochs = absl::GetFlag(FLAGS_epochs);
  options.batch_size = absl::GetFlag(FLAGS_batch_size);
  options.lr = absl::GetFlag(FLAGS_lr);
  options.momentum = absl::GetFlag(FLAGS_momentum);
  options.nesterov = absl::GetFlag(FLAGS_nesterov);
  options.weight_decay = absl::GetFlag(FLAGS_weight_decay);
  options.optimizer = absl::GetFlag(FLAGS_optimizer);
  options.consistency = absl::GetFlag(FLAGS_consistency);
  options.quorum = absl::GetFlag(FLAGS_quorum);
  options.max_staleness = absl::GetFlag(FLAGS_max_staleness);
  if (const StepsChoice steps = absl::GetFlag(FLAGS_local_steps); steps.kind == StepsChoice::Kind::kFixed) {
    options.local_steps = static_cast<int>(steps.steps);
  } else {
    options.changing_steps = steps;
  }
  options.overlap = absl::GetFlag(FLAGS_overlap);
  options.optimizer_at = absl::GetFlag(FLAGS_optimizer_at);
  options.outer_lr = absl::GetFlag(FLAGS_outer_lr);
  options.outer_momentum = absl::GetFlag(FLAGS_outer_momentum);
  options.outer_nesterov = absl::GetFlag(FLAGS_outer_nesterov);
  options.sparse_adam = absl::GetFlag(FLAGS_sparse_adam);
  absl::StatusOr<std::vector<std::string>> server_flags = WordsOf("server_flags", absl::GetFlag(FLAGS_server_flags));
  if (!server_flags.ok()) return server_flags.status();
  options.server_flags = *std::move(server_flags);
  absl::StatusOr<std::vector<std::string>> worker_flags = WordsOf("worker_flags", absl::GetFlag(FLAGS_worker_flags));
  if (!worker_flags.ok()) return worker_flags.status();
  options.worker_flags = *std::move(worker_flags);
  absl::StatusOr<std::vector<std::string>> optimizer_flags =
      WordsOf("optimizer_flags", absl::GetFlag(FLAGS_optimizer_flags));
  if (!optimizer_flags.ok()) return optimizer_flags.status();
  options.optimizer_flags = *std::move(optimizer_flags);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.compress = absl::GetFlag(FLAGS_compress);
  const RatioChoice ratio = absl::GetFlag(FLAGS_ratio);
  if (ratio.kind == RatioChoice::Kind::kFixed) {
    options.ratio = ratio.ratio;
  } else {
    options.changing_ratio = ratio;
  }
  options.publish_ratio = absl::GetFlag(FLAGS_publish_ratio);
  options.value_encoding = absl::GetFlag(FLAGS_value_encoding);
  options.index_encoding = absl::GetFlag(FLAGS_index_encoding);
  options.bucket_bytes = absl::GetFlag(FLAGS_bucket_bytes);
  options.train_examples = absl::GetFlag(FLAGS_train_examples);
  options.test_examples = absl::GetFlag(FLAGS_test_examples);
  options.threads = absl::GetFlag(FLAGS_threads);
  options.device = AbslUnparseFlag(absl::GetFlag(FLAGS_device));
  options.tensorboard = absl::GetFlag(FLAGS_tensorboard);
  options.trace = absl::GetFlag(FLAGS_trace);
  options.durable = absl::GetFlag(FLAGS_durable);
  options.resume = absl::GetFlag(FLAGS_resume);
  options.without_checkpoint = absl::GetFlag(FLAGS_without_checkpoint);
  options.run = absl::GetFlag(FLAGS_run);
  options.checkpoint_every = absl::GetFlag(FLAGS_checkpoint_every);
  options.output = absl::GetFlag(FLAGS_output);
  if (absl::Status status = Validate(options); !status.ok()) return status;
  if (absl::Status status = EnterFolder(&options.output); !status.ok()) return status;

  if (options.data_dir.empty()) options.data_dir = absl::StrCat("data/", options.dataset);
  const bool learns_images = !options.learns_text() && !options.learns_arrays();
  if (std::error_code error; learns_images && !fs::is_directory(options.data_dir, error)) {
    return absl::InvalidArgumentError(absl::StrCat("there is no folder '", options.data_dir,
                                                   "' with the data set: run scripts/setup in the project's folder, or "
                                                   "name another with --data_dir"));
  }
  if (absl::Status status = CheckJob(options); !status.ok()) return status;
  if (options.threads == 0) {
    options.threads = std::max(1, AvailableCores() / options.workers);
  }
  return options;
}

absl::StatusOr<Binaries> FindBinaries() {
  absl::StatusOr<std::string> server = FindOwnProgram("cddp-server");
  if (!server.ok()) return server.status();
  absl::StatusOr<std::string> worker = FindOwnProgram("cddp-worker");
  if (!worker.ok()) return worker.status();
  return Binaries{*std::move(server), *std::move(worker)};
}

// For a model from a file, the file's name without characters that are bad in a folder's name.
std::string NameOf(const std::string& model) {
  if (!IsModelFile(model)) return model;
  std::string name = fs::path(model).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !absl::ascii_isalnum(c) && c != '_' && c != '-'; }, '_');
  return name;
}

// A small model has too few buckets for many servers. `answer`: its number of buckets, from --check_model.
absl::Status FitServers(absl::string_view answer, TrainOptions* options) {
  int buckets = 0;
  if (!absl::SimpleAtoi(answer.substr(0, answer.find(' ')), &buckets) || buckets < 1) {
    return absl::InternalError(absl::StrCat("cddp-worker --check_model answers '", answer, "'"));
  }
  if (options->servers <= buckets) return absl::OkStatus();
  if (absl::GetFlag(FLAGS_servers).empty()) {
    options->servers = buckets;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("--servers=", options->servers, ": the model has ", buckets,
                                                 " bucket(s), of which each server needs one: use fewer servers, or "
                                                 "smaller buckets (--bucket_bytes)"));
}

// Asks a worker, which knows GPUs and TorchScript, for the device's description, which is empty for processors. For a
// model from a file, adapts the number of servers to it unless it was given.
absl::StatusOr<std::string> CheckWithWorker(const std::string& worker, TrainOptions* to_fit) {
  const TrainOptions& options = *to_fit;
  std::string device;
  if (options.device != "cpu") {
    absl::StatusOr<std::string> checked = AskWorker(
        worker, "--check_device",
        {absl::StrCat("--device=", options.device), absl::StrCat("--ratio=", FormatExact(options.push_ratio()))});
    if (!checked.ok()) return checked;
    device = *std::move(checked);
  }
  if (!IsModelFile(options.model)) return device;
  const absl::StatusOr<std::string> checked =
      AskWorker(worker, "--check_model", WorkerFlags(options, 0, {"127.0.0.1:1"}));
  if (!checked.ok()) return checked;
  if (absl::Status status = FitServers(*checked, to_fit); !status.ok()) return status;
  return device;
}

// Locks the folder, then prepares it for this run.
absl::StatusOr<FolderLock> PrepareOutput(TrainOptions* options) {
  if (options->output.empty()) options->output = NewRunFolder(NameOf(options->model));
  absl::StatusOr<FolderLock> lock = FolderLock::Take(options->output, /*make=*/!options->resume);
  if (!lock.ok()) return lock;
  absl::Status status =
      options->resume ? SetOldLogsAside(*options) : ClearRunFolder(*options, absl::GetFlag(FLAGS_overwrite));
  if (status.ok()) status = CheckOutputs(*options);
  if (status.ok() && options->durable && !options->resume) {
    status = ReplaceFile(FlagsPath(*options), AsFlagFile(RunFlags()));
  }
  if (!status.ok()) return status;
  return lock;
}

// Flags of the programs that `cddp train` does not have become words of --server_flags and --worker_flags.
void ParseTrainFlags(int argc, char** argv, const FlagScope& scope) {
  const auto is_own = [&scope](absl::string_view name) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    return flag != nullptr && InScope(scope, *flag);
  };
  std::vector<std::string> args = PassFlagsOn({argv + 1, argv + argc}, is_own);
  std::vector<char*> words = {argv[0]};
  for (std::string& arg : args) words.push_back(arg.data());
  const std::string usage = absl::StrCat(
      kTrainUsage, "\n\nFlags of cddp-server and cddp-worker that are handed on to them: ", PassedFlagNames(is_own),
      "; their --help describes them.");
  ParseCommandLineOrExit(static_cast<int>(words.size()), words.data(), usage, scope);
}

}  // namespace

int RunTrainCommand(int argc, char** argv) {
  const FlagScope scope = {{kOwnFile, kCommandFlagFile}};
  const auto parse = [&] { ParseTrainFlags(argc, argv, scope); };
  parse();
  if (absl::GetFlag(FLAGS_resume)) {
    if (absl::Status status = SetSavedFlags(absl::GetFlag(FLAGS_output), parse); !status.ok()) {
      return ReportError(status);
    }
  }
  CheckFlagsHaveEffectOrExit(scope);
  if (absl::Status status = NameRun(); !status.ok()) return ReportError(status);
  absl::StatusOr<TrainOptions> options = OptionsFromFlags();
  if (!options.ok()) return ReportError(options.status());
  absl::StatusOr<Binaries> binaries = FindBinaries();
  if (!binaries.ok()) return ReportError(binaries.status());
  const absl::StatusOr<std::string> device = CheckWithWorker(binaries->worker, &*options);
  if (!device.ok()) return ReportError(device.status());
  const absl::StatusOr<FolderLock> lock = PrepareOutput(&*options);
  if (!lock.ok()) return ReportError(lock.status());
  SetPassiveWaiting();
  Progress progress(stdout);
  if (!device->empty()) progress.Print(absl::StrCat("device    ", *device));
  return TrainRun(*options, *binaries, &progress).Run();
}

}  // namespace cddp::ctl
