// Names of the files in a server's --state_dir: lock, journal-N (segment N), snapshot-N (the state before segment N),
// checkpoint-V (the state at version V), and those with .new behind them, which are not whole yet. The empty file
// `unsynced` says that the last segment's frames were not synced one by one.

#ifndef SERVER_JOURNAL_STATE_FOLDER_H_
#define SERVER_JOURNAL_STATE_FOLDER_H_

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/journal/file_layer.h"

namespace cddp {

constexpr char kLockName[] = "lock";
constexpr char kUnsyncedName[] = "unsynced";
constexpr absl::string_view kNewSuffix = ".new";

inline std::string SegmentName(uint64_t segment) { return absl::StrCat("journal-", segment); }
inline std::string SnapshotName(uint64_t segment) { return absl::StrCat("snapshot-", segment); }
inline std::string CheckpointName(uint64_t version) { return absl::StrCat("checkpoint-", version); }

struct StateFolder {
  std::set<uint64_t> segments;
  std::set<uint64_t> snapshots;
  std::set<uint64_t> checkpoints;
  std::set<std::string> unfinished;  // names
  bool unsynced = false;
};

// FailedPrecondition for the files of a release before snapshots.
absl::StatusOr<StateFolder> ListStateFolder(FileLayer& files, const std::string& folder);

}  // namespace cddp

#endif  // SERVER_JOURNAL_STATE_FOLDER_H_
