#include "deploy/ctl/run_command.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/agreement/run_identity.h"
#include "common/codec/encoding.h"
#include "common/config/available_cores.h"
#include "common/config/command_line.h"
#include "common/config/flag_effects.h"
#include "common/config/passive_waiting.h"
#include "common/files/durable_file.h"
#include "common/net/host_port.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/command_flags.h"
#include "deploy/ctl/passed_flags.h"
#include "deploy/ctl/programs.h"
#include "deploy/ctl/progress.h"
#include "deploy/ctl/run_folder.h"
#include "deploy/ctl/script_run.h"
#include "deploy/ctl/split_words.h"

ABSL_FLAG(int, nodes, 1, "machines; start `cddp run` on each, with the same flags except --node_rank");
ABSL_FLAG(int, node_rank, 0, "number of this machine, from 0");

// Flags of `cddp train` with the same meaning here.
ABSL_DECLARE_FLAG(int, workers);
ABSL_DECLARE_FLAG(bool, durable);
ABSL_DECLARE_FLAG(bool, resume);
ABSL_DECLARE_FLAG(bool, overwrite);
ABSL_DECLARE_FLAG(std::string, output);
ABSL_DECLARE_FLAG(std::string, run);
ABSL_DECLARE_FLAG(std::string, tensorboard);
ABSL_DECLARE_FLAG(int, checkpoint_every);
ABSL_DECLARE_FLAG(std::string, consistency);
ABSL_DECLARE_FLAG(int, quorum);
ABSL_DECLARE_FLAG(int, max_staleness);
ABSL_DECLARE_FLAG(double, publish_ratio);
ABSL_DECLARE_FLAG(cddp::ValueEncoding, value_encoding);
ABSL_DECLARE_FLAG(cddp::IndexEncoding, index_encoding);
ABSL_DECLARE_FLAG(std::string, optimizer_at);
ABSL_DECLARE_FLAG(std::string, optimizer);
ABSL_DECLARE_FLAG(double, lr);
ABSL_DECLARE_FLAG(double, momentum);
ABSL_DECLARE_FLAG(bool, nesterov);
ABSL_DECLARE_FLAG(double, weight_decay);
ABSL_DECLARE_FLAG(double, outer_lr);
ABSL_DECLARE_FLAG(double, outer_momentum);
ABSL_DECLARE_FLAG(bool, outer_nesterov);
ABSL_DECLARE_FLAG(std::string, server_flags);

namespace cddp::ctl {
namespace {

namespace fs = std::filesystem;

constexpr char kRunUsage[] =
    "cddp run: starts parameter servers, and your program once for each worker.\n\n"
    "  cddp run --workers=4 --servers=2 -- python3 train.py --epochs=3\n\n"
    "Each worker finds in its environment: CDDP_SERVERS, RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, CDDP_OUTPUT "
    "(the run's folder), with --durable, CDDP_STATE (a folder for its state), and with --tensorboard, "
    "CDDP_TENSORBOARD. "
    "Rank 0's output is shown; that of the other ranks is in CDDP_OUTPUT/logs.\n\n"
    "On several machines --workers is the number on each, and --servers names servers that run already:\n\n"
    "  cddp run --nodes=2 --node_rank=0 --workers=4 --servers=10.0.0.1:50051,10.0.0.2:50051 -- python3 train.py\n\n"
    "The servers average the workers' changes of the weights, unless --optimizer_at=servers.\n\n"
    "Exit codes: 0 all workers ended well, 2 bad input, 130 Ctrl-C, otherwise that of the first worker that failed.";

constexpr char kOwnFile[] = "deploy/ctl/run_command.cc";
constexpr int kDefaultServers = 2;

// Flags that matter only if servers are started here.
constexpr const char* kServerFlags[] = {"consistency",   "quorum",         "max_staleness",
                                        "publish_ratio", "value_encoding", "index_encoding",
                                        "optimizer_at",  "optimizer",      "lr",
                                        "momentum",      "nesterov",       "weight_decay",
                                        "outer_lr",      "outer_momentum", "outer_nesterov",
                                        "server_flags"};
// Flags that matter only if the servers have the optimizer.
constexpr const char* kOptimizerFlags[] = {"optimizer", "lr", "momentum", "nesterov", "weight_decay"};

FlagScope RunScope() {
  FlagScope scope = {{kOwnFile, kCommandFlagFile}, {"workers", "durable", "resume", "overwrite", "output"}};
  scope.names.push_back("tensorboard");
  scope.names.push_back("checkpoint_every");
  scope.names.push_back("run");
  scope.names.insert(scope.names.end(), std::begin(kServerFlags), std::end(kServerFlags));
  return scope;
}

bool IsSet(const char* name) {
  const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag->CurrentValue() != flag->DefaultValue();
}

absl::Status RefuseSet(absl::Span<const char* const> names, absl::string_view why) {
  for (const char* name : names) {
    if (IsSet(name)) return absl::InvalidArgumentError(absl::StrCat("--", name, " has no effect: ", why));
  }
  return absl::OkStatus();
}

// --servers is a number, or addresses.
absl::Status SetServers(ScriptOptions* options) {
  const std::string text = absl::GetFlag(FLAGS_servers);
  options->cluster.servers = kDefaultServers;
  if (text.empty() || absl::SimpleAtoi(text, &options->cluster.servers)) return absl::OkStatus();
  if (!absl::StrContains(text, ':')) {
    return absl::InvalidArgumentError(
        absl::StrCat("--servers=", text,
                     ": must be a number of servers to start, or the addresses, host:port,host:port, of servers "
                     "that run"));
  }
  for (absl::string_view address : absl::StrSplit(text, ',')) {
    if (absl::StatusOr<HostPort> parsed = ParseHostPort(address, PortUse::kConnect); !parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--servers=", text, ": ", parsed.status().message()));
    }
    options->addresses.emplace_back(address);
  }
  options->cluster.servers = static_cast<int>(options->addresses.size());
  return absl::OkStatus();
}

absl::Status SetMachines(ScriptOptions* options) {
  const int nodes = absl::GetFlag(FLAGS_nodes);
  options->node_rank = absl::GetFlag(FLAGS_node_rank);
  options->local_workers = absl::GetFlag(FLAGS_workers);
  if (nodes < 1) return absl::InvalidArgumentError(absl::StrCat("--nodes=", nodes, ": must be at least 1"));
  if (options->node_rank < 0 || options->node_rank >= nodes) {
    return absl::InvalidArgumentError(absl::StrCat("--node_rank=", options->node_rank, ": must be between 0 and ",
                                                   nodes - 1, " where --nodes=", nodes));
  }
  if (nodes > 1 && options->addresses.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--nodes=", nodes,
                     " needs the addresses of servers that all machines reach: start them with "
                     "cddp-server, and name them with --servers=host:port,host:port"));
  }
  options->cluster.workers = nodes * options->local_workers;
  return absl::OkStatus();
}

absl::Status SetCommand(std::vector<std::string> words, ScriptOptions* options) {
  if (words.empty()) {
    return absl::InvalidArgumentError(
        "what shall the workers run? Write it after two dashes: cddp run --workers=4 -- python3 train.py");
  }
  absl::StatusOr<std::string> program = FindProgram(words[0]);
  if (!program.ok()) return program.status();
  words[0] = *std::move(program);
  options->command = std::move(words);
  return absl::OkStatus();
}

absl::Status SetCluster(TrainOptions* cluster) {
  cluster->consistency = absl::GetFlag(FLAGS_consistency);
  cluster->quorum = absl::GetFlag(FLAGS_quorum);
  cluster->max_staleness = absl::GetFlag(FLAGS_max_staleness);
  cluster->compress = true;
  cluster->ratio = 1;  // the script decides it; the servers' log must suffice for the largest
  cluster->publish_ratio = absl::GetFlag(FLAGS_publish_ratio);
  cluster->value_encoding = absl::GetFlag(FLAGS_value_encoding);
  cluster->index_encoding = absl::GetFlag(FLAGS_index_encoding);
  cluster->optimizer_at = absl::GetFlag(FLAGS_optimizer_at);
  if (cluster->optimizer_at == "auto") cluster->optimizer_at = "workers";
  cluster->optimizer = absl::GetFlag(FLAGS_optimizer);
  cluster->lr = absl::GetFlag(FLAGS_lr);
  cluster->momentum = absl::GetFlag(FLAGS_momentum);
  cluster->nesterov = absl::GetFlag(FLAGS_nesterov);
  cluster->weight_decay = absl::GetFlag(FLAGS_weight_decay);
  cluster->outer_lr = absl::GetFlag(FLAGS_outer_lr);
  cluster->outer_momentum = absl::GetFlag(FLAGS_outer_momentum);
  cluster->outer_nesterov = absl::GetFlag(FLAGS_outer_nesterov);
  absl::StatusOr<std::vector<std::string>> flags = SplitWords(absl::GetFlag(FLAGS_server_flags));
  if (!flags.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--server_flags=", absl::GetFlag(FLAGS_server_flags), ": ", flags.status().message()));
  }
  cluster->server_flags = *std::move(flags);
  cluster->durable = absl::GetFlag(FLAGS_durable);
  cluster->resume = absl::GetFlag(FLAGS_resume);
  cluster->checkpoint_every = absl::GetFlag(FLAGS_checkpoint_every);
  cluster->output = absl::GetFlag(FLAGS_output);
  cluster->tensorboard = absl::GetFlag(FLAGS_tensorboard);
  cluster->run = absl::GetFlag(FLAGS_run);
  if (!cluster->run.empty()) {
    if (absl::Status status = CheckRunName("--run", cluster->run); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckFlags(const ScriptOptions& options) {
  if (!options.addresses.empty()) {
    absl::Status status =
        RefuseSet(kServerFlags, "it is for servers that are started here, and --servers names others");
    if (!status.ok()) return status;
  }
  if (options.cluster.resume && (!options.cluster.durable || options.cluster.output.empty())) {
    return absl::InvalidArgumentError(
        "--resume: needs --durable and --output=FOLDER of the run to go on with, and its other flags and command");
  }
  if (options.cluster.optimizer_at == "servers") return absl::OkStatus();
  return RefuseSet(kOptimizerFlags, "the script has the optimizer; give --optimizer_at=servers if the servers shall");
}

absl::StatusOr<ScriptOptions> OptionsFromFlags(std::vector<std::string> command) {
  ScriptOptions options;
  for (const absl::Status& status : {SetServers(&options), SetMachines(&options), SetCluster(&options.cluster)}) {
    if (!status.ok()) return status;
  }
  if (absl::Status status = CheckFlags(options); !status.ok()) return status;
  if (absl::Status status = ValidateCluster(options.cluster); !status.ok()) return status;
  options.cluster.threads = std::max(1, AvailableCores() / options.local_workers);
  if (absl::Status status = SetCommand(std::move(command), &options); !status.ok()) return status;
  return options;
}

// A resumed run has the name in its report; a new run that starts its servers gets a random one.
absl::Status NameRun(bool has_own_servers, TrainOptions* cluster) {
  if (!cluster->resume) {
    if (has_own_servers && cluster->run.empty()) cluster->run = NewRunName();
    return absl::OkStatus();
  }
  const absl::StatusOr<std::string> named = RunNameOf(*cluster);
  if (!named.ok()) return named.status();
  if (!cluster->run.empty() && cluster->run != *named) {
    return absl::InvalidArgumentError(
        absl::StrCat("--run=", cluster->run, " contradicts the run in ", cluster->output, ", which is ", *named));
  }
  cluster->run = *named;
  return absl::OkStatus();
}

// Locks the folder, then prepares it for this run.
absl::StatusOr<FolderLock> PrepareOutput(bool has_own_servers, TrainOptions* cluster) {
  if (cluster->output.empty()) cluster->output = NewRunFolder("run");
  absl::StatusOr<FolderLock> lock = FolderLock::Take(cluster->output, /*make=*/!cluster->resume);
  if (!lock.ok()) return lock;
  if (absl::Status status = NameRun(has_own_servers, cluster); !status.ok()) return status;
  absl::Status status =
      cluster->resume ? SetOldLogsAside(*cluster) : ClearRunFolder(*cluster, absl::GetFlag(FLAGS_overwrite));
  if (status.ok()) status = CheckReplaceable(ReportPath(*cluster));
  if (!status.ok()) return status;
  std::error_code error;
  fs::create_directories(LogFolder(*cluster), error);
  if (!error && cluster->durable) fs::create_directories(CheckpointPath(*cluster), error);
  if (!error) return lock;
  return absl::InvalidArgumentError(
      absl::StrCat("--output: cannot write to '", cluster->output, "': ", error.message()));
}

// Parses the flags before "--"; the command follows it. Flags of cddp-server that this command does not have become
// words of --server_flags.
void ParseRunFlags(std::vector<std::string> args, const char* name) {
  const FlagScope scope = RunScope();
  const auto is_own = [&scope](absl::string_view flag_name) {
    const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(flag_name);
    return flag != nullptr && InScope(scope, *flag);
  };
  for (size_t i = 0; i < args.size(); ++i) {
    const bool is_word = !absl::StartsWith(args[i], "-");
    const bool may_be_value = i > 0 && absl::StartsWith(args[i - 1], "-") && !absl::StrContains(args[i - 1], '=');
    if (!is_word || may_be_value) continue;
    const std::vector<std::string> rest(args.begin() + i, args.end());
    std::exit(ReportError(absl::InvalidArgumentError(
        absl::StrCat("'", args[i], "' is not a flag: write two dashes before what the workers shall run: -- ",
                     absl::StrJoin(rest, " ")))));
  }
  args = PassServerFlagsOn(args, is_own);
  std::string own_name = name;
  std::vector<char*> words = {own_name.data()};
  for (std::string& arg : args) words.push_back(arg.data());
  ParseCommandLineOrExit(static_cast<int>(words.size()), words.data(), kRunUsage, scope);
  CheckFlagsHaveEffectOrExit(scope);
}

}  // namespace

int RunRunCommand(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto dashes = std::find(args.begin(), args.end(), "--");
  ParseRunFlags({args.begin(), dashes}, argv[0]);
  absl::StatusOr<ScriptOptions> options = OptionsFromFlags(
      dashes == args.end() ? std::vector<std::string>() : std::vector<std::string>(dashes + 1, args.end()));
  if (!options.ok()) return ReportError(options.status());
  absl::StatusOr<std::string> server = options->addresses.empty() ? FindOwnProgram("cddp-server") : "";
  if (!server.ok()) return ReportError(server.status());
  const absl::StatusOr<FolderLock> lock = PrepareOutput(options->addresses.empty(), &options->cluster);
  if (!lock.ok()) return ReportError(lock.status());
  SetPassiveWaiting();
  Progress progress(stdout);
  return ScriptRun(*options, *server, &progress).Run();
}

}  // namespace cddp::ctl
