// The folder of one run: locked before anything in it is touched, until the run is over.

#ifndef DEPLOY_CTL_RUN_FOLDER_H_
#define DEPLOY_CTL_RUN_FOLDER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "deploy/ctl/cluster_plan.h"

namespace cddp::ctl {

// A lock (flock) on the folder's file `lock`, which names the process that holds it. The kernel releases it when this
// process ends, however it ends; children do not inherit it. The file stays.
class FolderLock {
 public:
  // With `make`, creates a missing folder and its parents. InvalidArgument if another process holds the lock (the
  // message has its number) or the folder cannot be written; then nothing has changed.
  static absl::StatusOr<FolderLock> Take(const std::string& folder, bool make);

  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;  // -1: moved from
};

// Creates runs/<time>-<name>, or a similar name if that exists: runs started in the same second get different folders.
std::string NewRunFolder(const std::string& name);

// Call it with the lock held, before a new run: InvalidArgument if the folder holds another run's result or state and
// `overwrite` is false. A run that failed and kept no state may be begun again. Then removes the files of an earlier
// run, and nothing else.
absl::Status ClearRunFolder(const TrainOptions& options, bool overwrite);

// InvalidArgument if one of the run's output files could not be written.
absl::Status CheckOutputs(const TrainOptions& options);

// The name of the run whose report lies in the folder; empty if the run used servers started elsewhere and had not
// joined them yet. InvalidArgument if there is no report, or one of a release without names.
absl::StatusOr<std::string> RunNameOf(const TrainOptions& options);

// Renames the previous start's logs, to keep them.
absl::Status SetOldLogsAside(const TrainOptions& options);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_FOLDER_H_
