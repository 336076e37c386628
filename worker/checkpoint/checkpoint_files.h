// A worker's two latest checkpoints in a folder: worker-<rank>.checkpoint, and the one before it as
// worker-<rank>.previous.checkpoint.

#ifndef WORKER_CHECKPOINT_CHECKPOINT_FILES_H_
#define WORKER_CHECKPOINT_CHECKPOINT_FILES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/checkpoint/checkpoint.h"

namespace cddp {

// One call at a time.
class CheckpointFiles {
 public:
  CheckpointFiles(const std::string& folder, uint32_t rank);

  // Creates the folder if necessary. The error names it.
  absl::Status Prepare() const;

  // Returns once the checkpoint would survive a loss of power. Until then, and after an error, the previous one is the
  // latest. Once there was a checkpoint, the folder always holds at least one complete one.
  absl::Status Write(const WorkerCheckpoint& checkpoint) const;

  // The latest undamaged checkpoint; nullopt if the folder has none at all. A newer, damaged one is renamed, with a
  // warning in the log. If all are damaged, the error of the latest.
  absl::StatusOr<std::optional<WorkerCheckpoint>> ReadLatest() const;

  const std::string& latest_path() const { return latest_; }
  const std::string& previous_path() const { return previous_; }

 private:
  std::string folder_;
  std::string latest_;
  std::string previous_;
};

}  // namespace cddp

#endif  // WORKER_CHECKPOINT_CHECKPOINT_FILES_H_
