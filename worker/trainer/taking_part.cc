#include "worker/trainer/taking_part.h"

#include <spdlog/spdlog.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/agreement/agreement.h"
#include "worker/client/begin_training.h"
#include "worker/trainer/worker_settings.h"

namespace cddp {

absl::Status TakeRunOf(const TrainerOptions& options, const WorkerCheckpoint& checkpoint, RunIdentity* run) {
  if (!run->name.empty() && run->name != checkpoint.run) {
    return absl::InvalidArgumentError(absl::StrCat("--checkpoint_dir=", options.checkpoint_dir, " holds run ",
                                                   checkpoint.run, ", but this worker has --run=", run->name,
                                                   ": name that run's folder, or an empty one"));
  }
  *run = {checkpoint.run, RunClaim::kBegun};
  return absl::OkStatus();
}

absl::Status CheckTakesPart(const TrainerOptions& options, const GrpcCluster& cluster, bool has_checkpoint) {
  absl::Status status = CheckConsistency(options.local_steps, options.overlap, cluster);
  if (status.ok() && !options.sparse_adam) {
    status = CheckServersTakePart(cluster.server_settings(), AbslUnparseFlag(options.ratio));
  }
  if (!status.ok() || options.checkpoint_dir.empty()) return status;
  const bool has_taken_part = cluster.next_step() > 1;
  if (has_checkpoint || !has_taken_part || options.without_checkpoint) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--checkpoint_dir=", options.checkpoint_dir, " holds no checkpoint of worker ", options.cluster.rank,
      ", but it has made ", cluster.next_step() - 1, " steps of run ", cluster.run(),
      ": restore it from a copy; or, to go on from the servers' weights and lose what the worker had not sent yet, "
      "give --without_checkpoint"));
}

void NoteOtherArithmetic(const WorkerCheckpoint& checkpoint, const std::string& arithmetic) {
  const std::vector<SettingDifference> differences = Differences(checkpoint.arithmetic, arithmetic);
  if (differences.empty()) return;
  std::vector<std::string> all;
  all.reserve(differences.size());
  for (const SettingDifference& difference : differences) {
    all.push_back(absl::StrCat(difference.first, " there, ", difference.second, " here"));
  }
  spdlog::warn(
      "event=other_arithmetic differs=\"{}\" consequence=\"gradients may round differently from those before the "
      "checkpoint; steps that are made once more send what they sent then\"",
      absl::StrJoin(all, "; "));
}

}  // namespace cddp
