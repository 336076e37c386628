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

  // Makes the folder if need be. The error names it.
  absl::Status Prepare() const;

  // Returns once the checkpoint would survive a loss of power. Until then, and after an error, the one before it is the
  // latest. At every moment at least one whole checkpoint lies in the folder, once there was one.
  absl::Status Write(const WorkerCheckpoint& checkpoint) const;

  // The latest that is whole; nullopt if there is none. A newer one that is damaged is renamed, with a warning in the
  // log. The error of the latest one, if there are any and none is whole.
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
