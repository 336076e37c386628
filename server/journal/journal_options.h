// The options of a journal.

#ifndef SERVER_JOURNAL_JOURNAL_OPTIONS_H_
#define SERVER_JOURNAL_JOURNAL_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/bytes/shared_bytes.h"
#include "server/journal/file_layer.h"

namespace cddp {

// The condition for which an answer waits.
enum class Durability {
  kVersion,   // its version is on disk: no answer is ever lost
  kSnapshot,  // none, and events are not written: a crash sets the training back to the last snapshot
  kNone,      // none: answers of the last moment before a crash may be lost
};

// For ABSL_FLAG: "version", "snapshot", "none".
bool AbslParseFlag(absl::string_view text, Durability* durability, std::string* error);
std::string AbslUnparseFlag(Durability durability);

struct JournalOptions {
  std::string folder;
  Durability durability = Durability::kVersion;
  uint64_t restore_version = 0;  // of a checkpoint to go back to, once, forgetting all else; 0: continue at the end
  FileLayer* files = &PosixFiles();
  std::function<void(absl::Duration)> synced =
      nullptr;  // called with the duration of each write of a frame; any thread
};

// Takes the events of a start, in order, some at a time, one right behind the other. `position` is the first one's; 0
// for those of a snapshot, which have none. Returns how many there were; its first error ends the start.
using JournalReplay = std::function<absl::StatusOr<uint64_t>(SharedBytes events, uint64_t position)>;

}  // namespace cddp

#endif  // SERVER_JOURNAL_JOURNAL_OPTIONS_H_
