// The folder of one run: claimed before anything in it is touched, and held until the run is over.

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
  // Makes the folder, with those above it, if it is not there and `make`. InvalidArgument if another process holds the
  // lock, whose number is named, or the folder cannot be written; then nothing was changed.
  static absl::StatusOr<FolderLock> Take(const std::string& folder, bool make);

  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;  // -1: moved from
};

// Makes runs/<time>-<name>, which did not exist: runs started in the same second get different folders.
std::string NewRunFolder(const std::string& name);

// To be called with the lock held, before a run that begins anew: InvalidArgument if the folder holds the result or the
// state of another run and `overwrite` is false. A run that failed, and kept no state, may be begun again. Then removes
// what an earlier run has left, and nothing else.
absl::Status ClearRunFolder(const TrainOptions& options, bool overwrite);

// InvalidArgument if one of the files that the run will leave could not be written.
absl::Status CheckOutputs(const TrainOptions& options);

// The name of the run whose report lies in the folder; empty: it had not joined servers of others yet. InvalidArgument
// if there is no report, or one of a release without names.
absl::StatusOr<std::string> RunNameOf(const TrainOptions& options);

// Keeps the logs of the life before under a name of their own.
absl::Status SetOldLogsAside(const TrainOptions& options);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_FOLDER_H_
