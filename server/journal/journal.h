// A shard's journal: one file of events (events.h) in frames (frame.h). A thread of its own writes what has come
// together since its last write as one frame, syncs it, and then lets go whoever waited for it (group commit).

#ifndef SERVER_JOURNAL_JOURNAL_H_
#define SERVER_JOURNAL_JOURNAL_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "server/journal/events.h"
#include "server/journal/file_layer.h"

namespace cddp {

// What an answer waits for.
enum class Durability {
  kVersion,  // its version is on the disk: nothing that was answered is lost, whatever fails
  kNone,     // nothing: what was answered in the last moment before a crash may be lost
};

// For ABSL_FLAG: "version", "none".
bool AbslParseFlag(absl::string_view text, Durability* durability, std::string* error);
std::string AbslUnparseFlag(Durability durability);

struct JournalOptions {
  std::string folder;
  Durability durability = Durability::kVersion;
  FileLayer* files = &PosixFiles();
};

// Thread-safe.
class Journal {
 public:
  // Gives every event of the journal to `replay`, in order, with the frame that its bytes lie in; ends at its first
  // error. A torn tail is cut off. A folder without a journal gets an empty one. DataLoss for a damaged journal,
  // FailedPrecondition for one in use, ResourceExhausted for a full disk; all name the file.
  using Replay =
      std::function<absl::Status(const JournalEvent& event, const std::shared_ptr<const std::string>& frame)>;
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const JournalOptions& options, const Replay& replay);

  // Writes what is left.
  ~Journal();

  // Copies the event. Returns its position, to wait for.
  uint64_t Append(const JournalEvent& event);

  // Calls `then` once all events up to `position` are as durable as the options say, or the journal's error if they
  // will not be: after an error nothing is written any more. From this thread or the journal's; it must not block.
  void WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then);

  // The same, waited for.
  absl::Status Wait(uint64_t position);
  absl::Status WaitForAll();  // that have been appended

  uint64_t bytes() const;   // of the file
  uint64_t frames() const;  // written or read

 private:
  Journal(const JournalOptions& options, std::unique_ptr<StateFile> file) : options_(options), file_(std::move(file)) {}
  absl::Status ReadAll(const Replay& replay);
  void WriteFrames();
  absl::Status WriteFrame(uint64_t number, std::string* payload);

  const JournalOptions options_;
  const std::unique_ptr<StateFile> file_;  // the thread's, once it runs

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::string pending_ ABSL_GUARDED_BY(mutex_);
  uint64_t appended_ ABSL_GUARDED_BY(mutex_) = 0;  // positions count from 1
  uint64_t durable_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t frames_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::pair<uint64_t, std::function<void(const absl::Status&)>>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread writer_;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_JOURNAL_H_
