#include "deploy/ctl/cluster_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/agreement/settings.h"
#include "deploy/ctl/format.h"

namespace cddp::ctl {
namespace {

// More processes than this on one machine are taken for a typing error.
constexpr int kMaxProcesses = 1024;

// Killed workers are restarted, so rounds wait that long: continuing without a worker would change the result.
constexpr int kDurableLeaseSeconds = 60;

// Names of models and data sets become parts of file names.
absl::Status CheckName(const char* flag, const std::string& name) {
  const bool good = !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
  });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "='", name, "': is not a name of letters and digits"));
}

absl::Status CheckRange(const char* flag, int value, int min, int max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": must be between ", min, " and ", max));
}

absl::Status CheckAtLeast(const char* flag, int value, int min) {
  if (value >= min) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": must be at least ", min));
}

// Write `condition` as what must hold: then it is false for NaN, too.
absl::Status CheckNumber(const char* flag, double value, bool condition, const char* rule) {
  if (condition && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", FormatExact(value), ": ", rule));
}

const char* Bool(bool value) { return value ? "true" : "false"; }

std::string LocalStepsText(const TrainOptions& options) {
  switch (options.changing_steps.kind) {
    case StepsChoice::Kind::kFixed:
      return absl::StrCat(options.steps_alone());
    case StepsChoice::Kind::kAuto:
      return "auto";
    case StepsChoice::Kind::kRepeat:
      return absl::StrCat("@", StepsPath(options.changing_steps.decisions));
  }
  return "";
}

// A setting of the programs that `cddp train` decides. It goes to the programs that have it: servers, workers or both.
struct TrainSetting {
  absl::string_view name;
  std::string (*text)(const TrainOptions& options);
};

constexpr TrainSetting kTrainSettings[] = {
    {"--shards", [](const TrainOptions& o) { return absl::StrCat(o.servers); }},
    {"--workers", [](const TrainOptions& o) { return absl::StrCat(o.workers); }},
    {"--consistency", [](const TrainOptions& o) { return o.consistency; }},
    {"--quorum", [](const TrainOptions& o) { return absl::StrCat(o.quorum); }},
    {"--max_staleness", [](const TrainOptions& o) { return absl::StrCat(o.max_staleness); }},
    {"--publish_ratio", [](const TrainOptions& o) { return FormatExact(o.pull_ratio()); }},
    {"--value_encoding", [](const TrainOptions& o) { return std::string(Name(o.values())); }},
    {"--index_encoding", [](const TrainOptions& o) { return std::string(Name(o.index_encoding)); }},
    {"--model", [](const TrainOptions& o) { return o.model; }},
    {"--loss", [](const TrainOptions& o) { return AbslUnparseFlag(o.loss); }},
    {"--train_examples", [](const TrainOptions& o) { return absl::StrCat(o.train_examples); }},
    {"--test_examples", [](const TrainOptions& o) { return absl::StrCat(o.test_examples); }},
    {"--epochs", [](const TrainOptions& o) { return absl::StrCat(o.epochs); }},
    {"--batch_size", [](const TrainOptions& o) { return absl::StrCat(o.batch_size); }},
    {"--seed", [](const TrainOptions& o) { return absl::StrCat(o.seed); }},
    {"--local_steps", LocalStepsText},
    {"--overlap", [](const TrainOptions& o) { return absl::StrCat(o.overlap); }},
    {"--bucket_bytes", [](const TrainOptions& o) { return absl::StrCat(o.bucket_bytes); }},
    {"--threads", [](const TrainOptions& o) { return absl::StrCat(o.threads); }},
    {"--device", [](const TrainOptions& o) { return o.device; }},
};

void Append(const std::vector<std::string>& more, std::vector<std::string>* flags) {
  flags->insert(flags->end(), more.begin(), more.end());
}

// The optimizer's flags, for the programs that have it.
std::vector<std::string> OptimizerFlags(const TrainOptions& options) {
  std::vector<std::string> flags = {absl::StrCat("--optimizer=", options.optimizer),
                                    absl::StrCat("--lr=", FormatExact(options.rate())),
                                    absl::StrCat("--weight_decay=", FormatExact(options.weight_decay))};
  if (options.optimizer == "sgd") {
    flags.push_back(absl::StrCat("--momentum=", FormatExact(options.momentum)));
    flags.push_back(absl::StrCat("--nesterov=", Bool(options.nesterov)));
  }
  Append(options.optimizer_flags, &flags);
  return flags;
}

// Flags of servers whose workers have the optimizer.
std::vector<std::string> OuterFlags(const TrainOptions& options) {
  return {"--optimizer=sgd", absl::StrCat("--lr=", FormatExact(options.outer_lr)),
          absl::StrCat("--momentum=", FormatExact(options.outer_momentum)),
          absl::StrCat("--nesterov=", Bool(options.outer_nesterov))};
}

absl::Status CheckOptimizer(const TrainOptions& options) {
  if (options.optimizer != "sgd" && options.optimizer != "adam" && options.optimizer != "adamw") {
    return absl::InvalidArgumentError(absl::StrCat("--optimizer=", options.optimizer, ": use sgd, adam or adamw"));
  }
  if (options.optimizer_at != "auto" && options.optimizer_at != "servers" && options.optimizer_at != "workers") {
    return absl::InvalidArgumentError(
        absl::StrCat("--optimizer_at=", options.optimizer_at, ": use auto, servers or workers"));
  }
  if (options.overlap > 0 && options.consistency != "sync") {
    return absl::InvalidArgumentError(absl::StrCat("--overlap has no effect with --consistency=", options.consistency,
                                                   ", where no worker waits for an exchange: leave one of them out"));
  }
  if (options.changes_steps() && options.consistency != "sync") {
    return absl::InvalidArgumentError(
        absl::StrCat("--local_steps=", AbslUnparseFlag(options.changing_steps), " needs --consistency=sync: with ",
                     options.consistency, ", workers are at different versions, so that they cannot decide alike"));
  }
  if (options.at_workers()) return absl::OkStatus();
  if (options.changes_steps() || options.steps_alone() > 1) {
    const std::string steps =
        options.changes_steps() ? AbslUnparseFlag(options.changing_steps) : absl::StrCat(options.steps_alone());
    return absl::InvalidArgumentError(
        absl::StrCat("--local_steps=", steps, " needs the optimizer at the workers: leave --optimizer_at out"));
  }
  if (options.overlap > 0) {
    return absl::InvalidArgumentError(
        "--overlap needs the optimizer at the workers: give --optimizer_at=workers, or an --optimizer that steps "
        "there");
  }
  if (options.outer_lr != 1 || options.outer_momentum != 0 || options.outer_nesterov) {
    return absl::InvalidArgumentError(
        "--outer_lr, --outer_momentum and --outer_nesterov have no effect where the servers have the optimizer: leave "
        "them out, or give --optimizer_at=workers");
  }
  if (options.optimizer != "sgd" && (options.push_ratio() < 1 || options.changes_ratio()) && !options.sparse_adam) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--optimizer_at=servers: ", options.optimizer, " on the servers loses what waits to be sent at --ratio=",
        options.changes_ratio() ? AbslUnparseFlag(options.changing_ratio) : FormatExact(options.push_ratio()),
        "; leave --optimizer_at out, or send all with --ratio=1, or take the loss with --sparse_adam"));
  }
  return absl::OkStatus();
}

void AppendSettings(absl::Span<const Setting> settings, const TrainOptions& options, std::vector<std::string>* flags) {
  for (const Setting& setting : settings) {
    for (const TrainSetting& ours : kTrainSettings) {
      if (ours.name == setting.name) flags->push_back(absl::StrCat(ours.name, "=", ours.text(options)));
    }
  }
}

// Flags for the part of the gradient that a worker sends.
std::vector<std::string> RatioFlags(const TrainOptions& options, int rank) {
  if (!options.changes_ratio()) return {absl::StrCat("--ratio=", FormatExact(options.push_ratio()))};
  if (options.changing_ratio.kind == RatioChoice::Kind::kAuto) {
    return {"--ratio=auto", absl::StrCat("--ratio_log=", RatioPath(options.output, rank))};
  }
  return {absl::StrCat("--ratio=@", RatioPath(options.changing_ratio.decisions, rank))};
}

// Flags of the training data.
std::vector<std::string> DataFlags(const TrainOptions& options) {
  if (options.learns_arrays()) return {absl::StrCat("--data=", options.data)};
  if (!options.learns_text()) return {absl::StrCat("--data_dir=", options.data_dir)};
  return {absl::StrCat("--data=", options.data), absl::StrCat("--layers=", options.layers),
          absl::StrCat("--dim=", options.dim), absl::StrCat("--heads=", options.heads),
          absl::StrCat("--context=", options.context)};
}

}  // namespace

absl::Status ValidateCluster(const TrainOptions& options) {
  const auto& o = options;
  for (const absl::Status& status : {
           CheckRange("workers", o.workers, 1, kMaxProcesses),
           CheckRange("servers", o.servers, 1, kMaxProcesses),
           CheckNumber("lr", o.lr, o.lr >= 0, "must be above 0, or 0 for the optimizer's own"),
           CheckNumber("momentum", o.momentum, o.momentum >= 0 && o.momentum < 1, "must be in [0, 1)"),
           CheckNumber("weight_decay", o.weight_decay, o.weight_decay >= 0, "must not be negative"),
           CheckNumber("publish_ratio", o.publish_ratio, o.publish_ratio >= 0 && o.publish_ratio <= 1,
                       "must be in (0, 1], or 0 for as much as was pushed"),
           CheckRange("quorum", o.quorum, 0, o.workers),
           CheckAtLeast("max_staleness", o.max_staleness, 0),
           CheckNumber("outer_lr", o.outer_lr, o.outer_lr > 0, "must be above 0"),
           CheckNumber("outer_momentum", o.outer_momentum, o.outer_momentum >= 0 && o.outer_momentum < 1,
                       "must be in [0, 1)"),
           CheckOptimizer(o),
           CheckAtLeast("checkpoint_every", o.checkpoint_every, 0),
       }) {
    if (!status.ok()) return status;
  }
  if (o.nesterov && o.momentum == 0) {
    return absl::InvalidArgumentError("--nesterov: needs --momentum above 0");
  }
  return absl::OkStatus();
}

absl::Status Validate(const TrainOptions& options) {
  const auto& o = options;
  for (const absl::Status& status : {
           IsModelFile(o.model) ? absl::OkStatus() : CheckName("model", o.model),
           CheckName("dataset", o.dataset),
           ValidateCluster(o),
           CheckAtLeast("epochs", o.epochs, 1),
           CheckAtLeast("batch_size", o.batch_size, 1),
           CheckNumber("ratio", o.ratio, o.ratio >= 0 && o.ratio <= 1,
                       "must be in (0, 1], or 0 for what suits the optimizer"),
           CheckAtLeast("local_steps", o.local_steps, 0),
           CheckAtLeast("overlap", o.overlap, 0),
           CheckAtLeast("layers", o.layers, 1),
           CheckAtLeast("dim", o.dim, 1),
           CheckAtLeast("heads", o.heads, 0),
           CheckAtLeast("context", o.context, 1),
           CheckAtLeast("bucket_bytes", o.bucket_bytes, 0),
           CheckAtLeast("train_examples", o.train_examples, 0),
           CheckAtLeast("test_examples", o.test_examples, 0),
           CheckRange("threads", o.threads, 0, kMaxProcesses),
       }) {
    if (!status.ok()) return status;
  }
  if (o.learns_text() && o.data.empty()) {
    return absl::InvalidArgumentError("--model=gpt: learns text: name a file or folder of it with --data");
  }
  return absl::OkStatus();
}

std::vector<std::string> ServerFlags(const TrainOptions& options, int shard) {
  std::vector<std::string> flags = {"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--progress=json",
                                    absl::StrCat("--shard=", shard)};
  AppendSettings(ServerSettings(), options, &flags);
  Append(options.at_workers() ? OuterFlags(options) : OptimizerFlags(options), &flags);
  if (options.durable) {
    flags.push_back(absl::StrCat("--state_dir=", StatePath(options, shard)));
    flags.push_back(absl::StrCat("--lease=", kDurableLeaseSeconds, "s"));
    // Three periods: the latest checkpoint may be damaged, and one may have been left out.
    flags.push_back(absl::StrCat("--log_versions=", 3 * options.checkpoint_period()));
    if (options.resume) flags.push_back("--resume");
  }
  if (!options.run.empty()) flags.push_back(absl::StrCat("--run=", options.run));
  Append(options.server_flags, &flags);
  return flags;
}

std::vector<std::string> WorkerFlags(const TrainOptions& options, int rank,
                                     const std::vector<std::string>& server_addresses) {
  std::vector<std::string> flags = {"--metrics_listen=127.0.0.1:0", "--progress=json", absl::StrCat("--rank=", rank),
                                    absl::StrCat("--servers=", absl::StrJoin(server_addresses, ","))};
  AppendSettings(WorkerSettings(), options, &flags);
  if (options.at_workers()) Append(OptimizerFlags(options), &flags);
  if (options.sparse_adam) flags.push_back("--sparse_adam");
  Append(DataFlags(options), &flags);
  if (options.durable) {
    flags.push_back(absl::StrCat("--checkpoint_dir=", CheckpointPath(options)));
    flags.push_back(absl::StrCat("--checkpoint_every=", options.checkpoint_period()));
    if (options.without_checkpoint) flags.push_back("--without_checkpoint");
  }
  if (!options.run.empty()) flags.push_back(absl::StrCat("--run=", options.run));
  Append(RatioFlags(options, rank), &flags);
  if (options.trace) flags.push_back(absl::StrCat("--trace=", TracePath(options, rank)));
  if (rank == 0 && options.changing_steps.kind == StepsChoice::Kind::kAuto) {
    flags.push_back(absl::StrCat("--local_steps_log=", StepsPath(options.output)));
  }
  if (rank == 0) flags.push_back(absl::StrCat("--model_output=", ModelPath(options)));
  if (rank == 0 && !options.tensorboard.empty()) flags.push_back(absl::StrCat("--tensorboard=", options.tensorboard));
  Append(options.worker_flags, &flags);
  return flags;
}

std::string ModelPath(const TrainOptions& options) { return absl::StrCat(options.output, "/model.pt"); }
std::string ReportPath(const TrainOptions& options) { return absl::StrCat(options.output, "/report.json"); }
std::string PlotPath(const TrainOptions& options) { return absl::StrCat(options.output, "/report.svg"); }
std::string LogFolder(const TrainOptions& options) { return absl::StrCat(options.output, "/logs"); }
std::string StatePath(const TrainOptions& options, int shard) { return absl::StrCat(options.output, "/state-", shard); }
std::string CheckpointPath(const TrainOptions& options) { return absl::StrCat(options.output, "/checkpoints"); }
std::string FlagsPath(const TrainOptions& options) { return absl::StrCat(options.output, "/flags"); }
std::string EventsPath(const TrainOptions& options) { return absl::StrCat(options.output, "/events.jsonl"); }
std::string StepsPath(const std::string& folder) { return absl::StrCat(folder, "/local_steps"); }
std::string RatioPath(const std::string& folder, int rank) { return absl::StrCat(folder, "/ratio-", rank); }
std::string TracePath(const TrainOptions& options, int rank) {
  return absl::StrCat(options.output, "/trace-", rank, ".json");
}

}  // namespace cddp::ctl
