// The start of a journal: reads the folder, passes its events to the caller, which makes a state of them, and removes
// the remains of a crash or a restore.

#ifndef SERVER_JOURNAL_JOURNAL_START_H_
#define SERVER_JOURNAL_JOURNAL_START_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "server/journal/file_layer.h"
#include "server/journal/journal_options.h"
#include "server/journal/segment.h"

namespace cddp {

// The point at which a journal continues.
struct JournalStart {
  std::unique_ptr<StateFile> file;  // the last segment, whose next frame belongs at its end
  SegmentHead segment;              // the last segment's
  uint64_t frames = 0;              // in the last segment
  uint64_t bytes = 0;
  uint64_t position = 0;   // of the last event; all are durable
  bool went_back = false;  // to options.restore_version
};

// Without a thread or a lock: nobody else may touch the folder (Journal::Open holds its lock file). Errors as
// Journal::Open has them.
absl::StatusOr<JournalStart> StartJournal(const JournalOptions& options, const JournalReplay& replay);

}  // namespace cddp

#endif  // SERVER_JOURNAL_JOURNAL_START_H_
