#include "server/journal/segment_files.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/journal/frame.h"
#include "server/journal/state_folder.h"

namespace cddp {

absl::Status InFile(const absl::Status& status, const JournalOptions& options, uint64_t segment) {
  const std::string path = absl::StrCat(options.folder, "/", SegmentName(segment));
  if (absl::StrContains(status.message(), path)) return status;  // the system's errors name it already
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<std::unique_ptr<StateFile>> CreateSegment(const JournalOptions& options, const SegmentHead& head,
                                                         uint64_t* bytes) {
  absl::StatusOr<std::unique_ptr<StateFile>> file = options.files->Open(options.folder, SegmentName(head.segment));
  if (!file.ok()) return file.status();
  *bytes = 0;
  absl::Status status = AppendFrame(**file, 0, {ToBytes(head)}, bytes);
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = options.files->SyncFolder(options.folder);
  if (!status.ok()) return status;
  return file;
}

absl::Status RemoveBefore(const JournalOptions& options, uint64_t segment) {
  absl::StatusOr<StateFolder> found = ListStateFolder(*options.files, options.folder);
  if (!found.ok()) return found.status();
  std::vector<std::string> names;
  for (uint64_t old : found->snapshots) {
    if (old < segment) names.push_back(SnapshotName(old));
  }
  for (uint64_t old : found->segments) {
    if (old < segment) names.push_back(SegmentName(old));
  }
  for (const std::string& name : names) {
    if (absl::Status status = options.files->RemoveGently(options.folder, name); !status.ok()) return status;
  }
  return names.empty() ? absl::OkStatus() : options.files->SyncFolder(options.folder);
}

}  // namespace cddp
