#include "worker/checkpoint/checkpoint_files.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace cddp {

CheckpointFiles::CheckpointFiles(const std::string& folder, uint32_t rank)
    : folder_(folder),
      latest_(absl::StrCat(folder, "/worker-", rank, ".checkpoint")),
      previous_(absl::StrCat(folder, "/worker-", rank, ".previous.checkpoint")) {}

absl::Status CheckpointFiles::Prepare() const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("--checkpoint_dir=", folder_, ": cannot write: ", error.message()));
  }
  for (const std::string& path : {latest_, previous_}) {
    if (absl::Status status = CheckReplaceable(path); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--checkpoint_dir=", folder_, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckpointFiles::Write(const WorkerCheckpoint& checkpoint) const {
  absl::StatusOr<NewFile> file = NewFile::Create(absl::StrCat(latest_, ".new"));
  if (!file.ok()) return file.status();
  if (absl::Status status = Append(checkpoint, &*file); !status.ok()) return status;
  if (absl::Status status = file->Sync(); !status.ok()) return status;
  // Between the two renames the previous file, the latest one until now, is still there.
  if (rename(latest_.c_str(), previous_.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat(previous_, ": cannot replace"));
  }
  return file->RenameTo(latest_);
}

absl::StatusOr<std::optional<WorkerCheckpoint>> CheckpointFiles::ReadLatest() const {
  absl::StatusOr<WorkerCheckpoint> latest = ReadCheckpoint(latest_);
  if (latest.ok()) return std::optional(*std::move(latest));
  if (!absl::IsNotFound(latest.status()) && !absl::IsDataLoss(latest.status())) return latest.status();
  absl::StatusOr<WorkerCheckpoint> previous = ReadCheckpoint(previous_);
  if (previous.ok()) {
    LogWarning(absl::StrCat("event=older_checkpoint step=", previous->exchange.step, " reason=\"",
                            latest.status().message(), "\""));
    // Move it out of the way; otherwise the next Write would replace the good one by it.
    rename(latest_.c_str(), absl::StrCat(latest_, ".damaged").c_str());
    return std::optional(*std::move(previous));
  }
  if (absl::IsNotFound(latest.status()) && absl::IsNotFound(previous.status())) return std::nullopt;
  const absl::Status& worst = absl::IsNotFound(latest.status()) ? previous.status() : latest.status();
  return absl::Status(worst.code(), absl::StrCat(worst.message(),
                                                 ", and no older checkpoint is whole: without it this worker's "
                                                 "residual is lost; empty --checkpoint_dir to go on all the same"));
}

}  // namespace cddp
