#include "common/config/flag_effects.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/config/model_names.h"

namespace cddp {
namespace {

// `flag` has an effect only if `under` has one of `values`, separated by '|'; "*": any except its default. FILE stands
// for any model file.
struct Dependency {
  absl::string_view flag;
  absl::string_view under;
  absl::string_view values;
};

// For all programs. An entry counts if a program has both flags.
constexpr Dependency kDependencies[] = {
    {"momentum", "optimizer", "sgd"},
    {"nesterov", "optimizer", "sgd"},
    {"beta1", "optimizer", "adam|adamw"},
    {"beta2", "optimizer", "adam|adamw"},
    {"epsilon", "optimizer", "adam|adamw"},
    {"lr_decay_steps", "lr_schedule", "step|cosine"},
    {"lr_decay_factor", "lr_schedule", "step|cosine"},
    {"quorum", "consistency", "sync"},
    {"max_staleness", "consistency", "stale"},
    // cddp-worker's own optimizer may be none.
    {"lr", "optimizer", "sgd|adam|adamw"},
    {"lr_schedule", "optimizer", "sgd|adam|adamw"},
    {"lr_warmup_steps", "optimizer", "sgd|adam|adamw"},
    {"weight_decay", "optimizer", "sgd|adam|adamw"},
    {"param_groups", "optimizer", "sgd|adam|adamw"},
    {"local_steps", "optimizer", "sgd|adam|adamw"},
    {"overlap", "optimizer", "sgd|adam|adamw"},
    {"momentum_correction", "optimizer", "none"},
    {"compute_ms", "model", "resnet50_shapes"},
    {"data", "model", "gpt|FILE"},
    {"loss", "model", "FILE"},
    {"layers", "model", "gpt"},
    {"dim", "model", "gpt"},
    {"heads", "model", "gpt"},
    {"context", "model", "gpt"},
    {"dataset", "model", "mlp|simple_cnn|bn_cnn|resnet18|resnet50_shapes|FILE"},
    {"dataset", "data", ""},
    {"dataset", "data_dir", ""},
    {"durability", "state_dir", "*"},
    {"snapshot_bytes", "state_dir", "*"},
    {"keep_checkpoints", "state_dir", "*"},
    {"restore_version", "state_dir", "*"},
    {"resume", "state_dir", "*"},                   // cddp-server
    {"without_checkpoint", "checkpoint_dir", "*"},  // cddp-worker
    {"without_checkpoint", "resume", "true"},       // cddp train
    {"checkpoint_every", "state_dir", "*"},         // cddp-server
    {"checkpoint_every", "checkpoint_dir", "*"},    // cddp-worker
    {"checkpoint_every", "durable", "true"},        // cddp train
    {"min_workers", "start_timeout", "*"},
    {"save_timeout", "model_output", "*"},
    {"overwrite", "resume", "false"},
    {"overwrite", "output", "*"},
    {"ratio", "compress", "true"},
    {"ratio_log", "ratio", "auto"},
    {"local_steps_log", "local_steps", "auto"},
    {"publish_ratio", "compress", "true"},
    {"value_encoding", "compress", "true"},
    {"index_encoding", "compress", "true"},
    {"watch", "json", "false"},
    {"interval", "json", "false"},
    {"most_workers", "json", "false"},
    {"parameters", "shapes", ""},
    {"reach_timeout", "version", "0"},
};

absl::CommandLineFlag* Find(absl::string_view name, const FlagScope& scope) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag == nullptr || scope.files.empty() || InScope(scope, *flag) ? flag : nullptr;
}

// "--durable", "--state_dir" (of any value) or "--optimizer=adam or --optimizer=adamw".
std::string Remedy(const Dependency& dependency) {
  const std::string under = absl::StrCat("--", dependency.under);
  if (dependency.values == "*" || dependency.values == "true") return under;
  if (dependency.values == "false") return absl::StrCat("--no", dependency.under);
  std::vector<std::string> ways;
  for (absl::string_view value : absl::StrSplit(dependency.values, '|'))
    ways.push_back(absl::StrCat(under, "=", value));
  return absl::StrJoin(ways, " or ");
}

bool Allows(const Dependency& dependency, const absl::CommandLineFlag& under) {
  const std::string value = under.CurrentValue();
  if (dependency.values == "*") return value != under.DefaultValue();
  const std::vector<absl::string_view> values = absl::StrSplit(dependency.values, '|');
  if (IsModelFile(value) && std::find(values.begin(), values.end(), "FILE") != values.end()) return true;
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

absl::Status CheckFlagsHaveEffect(const FlagScope& scope) {
  for (const Dependency& dependency : kDependencies) {
    const absl::CommandLineFlag* flag = Find(dependency.flag, scope);
    const absl::CommandLineFlag* under = Find(dependency.under, scope);
    if (flag == nullptr || under == nullptr) continue;
    if (flag->CurrentValue() == flag->DefaultValue() || Allows(dependency, *under)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--", dependency.flag, "=", flag->CurrentValue(), " has no effect with --", dependency.under, "=",
                     under->CurrentValue(), ": leave it out, or give ", Remedy(dependency)));
  }
  return absl::OkStatus();
}

void CheckFlagsHaveEffectOrExit(const FlagScope& scope) {
  if (const absl::Status status = CheckFlagsHaveEffect(scope); !status.ok()) std::exit(ReportError(status));
}

}  // namespace cddp
