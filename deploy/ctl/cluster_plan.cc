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

// More processes than this on one machine are a slip of the finger.
constexpr int kMaxProcesses = 1024;

// We start again whoever is killed, so rounds can wait for that: going on without a worker would change the result.
constexpr int kDurableLeaseSeconds = 60;

// Models and data sets have names that are good parts of a file's name.
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

// `condition` is false for NaN, too, when it is written as what must hold.
absl::Status CheckNumber(const char* flag, double value, bool condition, const char* rule) {
  if (condition && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", FormatExact(value), ": ", rule));
}

// A setting of the programs that `cddp train` decides. It goes to whichever has it, servers, workers or both.
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
    {"--optimizer", [](const TrainOptions& o) { return o.optimizer; }},
    {"--lr", [](const TrainOptions& o) { return FormatExact(o.lr); }},
    {"--momentum", [](const TrainOptions& o) { return FormatExact(o.momentum); }},
    {"--nesterov", [](const TrainOptions& o) { return std::string(o.nesterov ? "true" : "false"); }},
    {"--weight_decay", [](const TrainOptions& o) { return FormatExact(o.weight_decay); }},
    {"--publish_ratio", [](const TrainOptions& o) { return FormatExact(o.pull_ratio()); }},
    {"--ratio", [](const TrainOptions& o) { return FormatExact(o.push_ratio()); }},
    {"--value_encoding", [](const TrainOptions& o) { return std::string(Name(o.values())); }},
    {"--index_encoding", [](const TrainOptions& o) { return std::string(Name(o.index_encoding)); }},
    {"--model", [](const TrainOptions& o) { return o.model; }},
    {"--data_dir", [](const TrainOptions& o) { return o.data_dir; }},
    {"--train_examples", [](const TrainOptions& o) { return absl::StrCat(o.train_examples); }},
    {"--test_examples", [](const TrainOptions& o) { return absl::StrCat(o.test_examples); }},
    {"--epochs", [](const TrainOptions& o) { return absl::StrCat(o.epochs); }},
    {"--batch_size", [](const TrainOptions& o) { return absl::StrCat(o.batch_size); }},
    {"--seed", [](const TrainOptions& o) { return absl::StrCat(o.seed); }},
    {"--local_steps", [](const TrainOptions& o) { return absl::StrCat(o.local_steps); }},
    {"--bucket_bytes", [](const TrainOptions& o) { return absl::StrCat(o.bucket_bytes); }},
    {"--threads", [](const TrainOptions& o) { return absl::StrCat(o.threads); }},
};

void AppendSettings(absl::Span<const Setting> settings, const TrainOptions& options, std::vector<std::string>* flags) {
  for (const Setting& setting : settings) {
    for (const TrainSetting& ours : kTrainSettings) {
      if (ours.name == setting.name) flags->push_back(absl::StrCat(ours.name, "=", ours.text(options)));
    }
  }
}

}  // namespace

absl::Status Validate(const TrainOptions& options) {
  const auto& o = options;
  for (const absl::Status& status : {
           CheckName("model", o.model),
           CheckName("dataset", o.dataset),
           CheckRange("workers", o.workers, 1, kMaxProcesses),
           CheckRange("servers", o.servers, 1, kMaxProcesses),
           CheckAtLeast("epochs", o.epochs, 1),
           CheckAtLeast("batch_size", o.batch_size, 1),
           CheckNumber("lr", o.lr, o.lr > 0, "must be above 0"),
           CheckNumber("momentum", o.momentum, o.momentum >= 0 && o.momentum < 1, "must be in [0, 1)"),
           CheckNumber("weight_decay", o.weight_decay, o.weight_decay >= 0, "must not be negative"),
           CheckNumber("ratio", o.ratio, o.ratio > 0 && o.ratio <= 1, "must be in (0, 1]"),
           CheckNumber("publish_ratio", o.publish_ratio, o.publish_ratio >= 0 && o.publish_ratio <= 1,
                       "must be in (0, 1], or 0 for the same as --ratio"),
           CheckRange("quorum", o.quorum, 0, o.workers),
           CheckAtLeast("max_staleness", o.max_staleness, 0),
           CheckAtLeast("local_steps", o.local_steps, 1),
           CheckAtLeast("bucket_bytes", o.bucket_bytes, 0),
           CheckAtLeast("train_examples", o.train_examples, 0),
           CheckAtLeast("test_examples", o.test_examples, 0),
           CheckRange("threads", o.threads, 0, kMaxProcesses),
           CheckAtLeast("checkpoint_every", o.checkpoint_every, 0),
       }) {
    if (!status.ok()) return status;
  }
  if (o.nesterov && o.momentum == 0) {
    return absl::InvalidArgumentError("--nesterov: needs --momentum above 0");
  }
  return absl::OkStatus();
}

std::vector<std::string> ServerFlags(const TrainOptions& options, int shard) {
  std::vector<std::string> flags = {"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--progress=json",
                                    absl::StrCat("--shard=", shard)};
  AppendSettings(ServerSettings(), options, &flags);
  if (options.durable) {
    flags.push_back(absl::StrCat("--state_dir=", StatePath(options, shard)));
    flags.push_back(absl::StrCat("--lease=", kDurableLeaseSeconds, "s"));
    // Two checkpoints back: the latest may be damaged; and one may have been left out.
    flags.push_back(absl::StrCat("--log_versions=", 3 * options.checkpoint_period()));
  }
  flags.insert(flags.end(), options.server_flags.begin(), options.server_flags.end());
  return flags;
}

std::vector<std::string> WorkerFlags(const TrainOptions& options, int rank,
                                     const std::vector<std::string>& server_addresses) {
  std::vector<std::string> flags = {"--metrics_listen=127.0.0.1:0", "--progress=json", absl::StrCat("--rank=", rank),
                                    absl::StrCat("--servers=", absl::StrJoin(server_addresses, ","))};
  AppendSettings(WorkerSettings(), options, &flags);
  if (options.durable) {
    flags.push_back(absl::StrCat("--checkpoint_dir=", CheckpointPath(options)));
    flags.push_back(absl::StrCat("--checkpoint_every=", options.checkpoint_period()));
  }
  if (options.trace) flags.push_back(absl::StrCat("--trace=", TracePath(options, rank)));
  if (rank == 0) flags.push_back(absl::StrCat("--model_output=", ModelPath(options)));
  flags.insert(flags.end(), options.worker_flags.begin(), options.worker_flags.end());
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
std::string TracePath(const TrainOptions& options, int rank) {
  return absl::StrCat(options.output, "/trace-", rank, ".json");
}

}  // namespace cddp::ctl
