#include "worker/client/begin_training.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cddp {
namespace {

// The value of "--name=" in settings "--a=1 --b=2"; empty if it is missing.
absl::string_view ValueOf(absl::string_view settings, absl::string_view name) {
  for (const absl::string_view setting : absl::StrSplit(settings, ' ')) {
    if (absl::StartsWith(setting, name)) return setting.substr(name.size());
  }
  return "";
}

}  // namespace

absl::Status CheckServersTakePart(absl::string_view server_settings, absl::string_view ratio) {
  const absl::string_view optimizer = ValueOf(server_settings, "--optimizer=");
  if (ratio == "1" || (optimizer != "adam" && optimizer != "adamw")) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the servers have --optimizer=", optimizer, " and this worker sends --ratio=", ratio,
      ": what waits to be sent would be lost to Adam. Give the workers the optimizer (and the servers "
      "--optimizer=sgd --lr=1 --momentum=0), or send all with --ratio=1 --value_encoding=int4, or take the loss "
      "with --sparse_adam"));
}

absl::Status CheckServersAverage(absl::string_view server_settings) {
  const absl::string_view optimizer = ValueOf(server_settings, "--optimizer=");
  const absl::string_view rate = ValueOf(server_settings, "--lr=");
  const absl::string_view momentum = ValueOf(server_settings, "--momentum=");
  const bool averages = rate == "1" && momentum == "0";
  if (optimizer == "sgd" && (averages || ValueOf(server_settings, "--nesterov=") == "true")) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the servers have --optimizer=", optimizer, " --lr=", rate, " --momentum=", momentum,
                   ", but this worker's own optimizer makes the steps, so that servers should average: start them with "
                   "--optimizer=sgd --lr=1 --momentum=0, or with --nesterov"));
}

absl::Status CheckConsistency(const StepsChoice& local_steps, uint32_t overlap, const Cluster& cluster) {
  if (cluster.is_sync()) return absl::OkStatus();
  if (local_steps.kind != StepsChoice::Kind::kFixed) {
    return absl::InvalidArgumentError(absl::StrCat("--local_steps=", AbslUnparseFlag(local_steps),
                                                   " needs servers with --consistency=sync: with any other, workers "
                                                   "are at different versions, so that they cannot decide alike"));
  }
  if (overlap > 0) {
    return absl::InvalidArgumentError(
        "--overlap needs servers with --consistency=sync: with any other, no worker waits for an exchange anyway");
  }
  return absl::OkStatus();
}

absl::Status TakeFirstWeights(const Cluster& cluster, GradientExchange* exchange, absl::Span<float> weights,
                              bool is_source) {
  return cluster.version() == 0 ? exchange->Initialise(weights, is_source) : exchange->CatchUp(weights);
}

}  // namespace cddp
