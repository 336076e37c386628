// A journal of events, which are bytes to it: files of frames (frame.h), one segment (segment.h) after the other. A
// thread of its own writes what has come together since its last write as one frame, syncs it, and then lets go whoever
// waited for it (group commit). Events that nobody waits for are written a moment later. A snapshot of the state before
// a segment stands for all segments before it.

#ifndef SERVER_JOURNAL_JOURNAL_H_
#define SERVER_JOURNAL_JOURNAL_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/bytes/shared_bytes.h"
#include "common/sync/mutex.h"
#include "server/journal/file_layer.h"
#include "server/journal/frame_buffer.h"
#include "server/journal/segment.h"
#include "server/journal/state_folder.h"

namespace cddp {

// What an answer waits for.
enum class Durability {
  kVersion,   // its version is on the disk: nothing that was answered is lost, whatever fails
  kSnapshot,  // nothing, and events are not written: a crash takes the training back to the last snapshot
  kNone,      // nothing: what was answered in the last moment before a crash may be lost
};

// For ABSL_FLAG: "version", "snapshot", "none".
bool AbslParseFlag(absl::string_view text, Durability* durability, std::string* error);
std::string AbslUnparseFlag(Durability durability);

struct JournalOptions {
  std::string folder;
  Durability durability = Durability::kVersion;
  uint64_t restore_version = 0;  // of a checkpoint to go back to, once, forgetting all else; 0: go on where it ends
  FileLayer* files = &PosixFiles();
  std::function<void(absl::Duration)> synced = nullptr;  // called with what each write of a frame took; any thread
};

// Thread-safe.
class Journal {
 public:
  // Gives the events of the newest snapshot, then every event after it, to `replay`, in order, some at a time, one
  // right behind the other; ends at its first error. A torn tail is cut off, what a crash has left of an unfinished
  // snapshot is removed. A folder without a journal gets an empty one. DataLoss for damaged or missing files,
  // FailedPrecondition for a folder in use, ResourceExhausted for a full disk; all name the file.
  //
  // `position` is the first one's; 0 for those of a snapshot, which have none. Returns how many there were.
  using Replay = std::function<absl::StatusOr<uint64_t>(SharedBytes events, uint64_t position)>;
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const JournalOptions& options, const Replay& replay);

  // Writes what is left.
  ~Journal();

  const JournalOptions& options() const { return options_; }

  // Appends an event, the two one behind the other, neither being kept. Its first byte is no tag of segment.h. Returns
  // its position, to wait for.
  uint64_t Append(absl::string_view head, absl::string_view tail);

  // How many more rounds are under way. While there are any, others are about to wait, and who waits has patience for
  // them: many small frames cost much. Any thread, at any time.
  void NoteOpenRounds(int64_t change) { open_rounds_.fetch_add(change, std::memory_order_relaxed); }

  // Calls `then` once all events up to `position` are as durable as the options say, or the journal's error if they
  // will not be: after an error nothing is written any more. From this thread or the journal's; it must not block.
  void WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then);

  // The same, waited for.
  absl::Status Wait(uint64_t position);
  absl::Status WaitForAll();  // that have been appended

  // Begins a new segment. All events up to its position are durable when it returns; those after it go there. After an
  // error the old segment goes on, or the journal has failed as a whole.
  absl::StatusOr<SegmentHead> Rotate();

  // Removes segments and snapshots before `segment`, whose snapshot must be durable.
  absl::Status RemoveBefore(uint64_t segment);

  uint64_t position() const;    // of the last event
  SegmentHead segment() const;  // that events go to now
  // Did Open go back to the checkpoint? Then the caller writes a snapshot before segment(), and removes what is older.
  bool went_back() const { return went_back_; }
  uint64_t bytes() const;  // of the segment; with kSnapshot, what they would be
  absl::Status status() const;

 private:
  explicit Journal(const JournalOptions& options) : options_(options) {}

  // Without the lock: nobody else has the journal yet, and replay takes locks under which others append.
  absl::Status Recover(const Replay& replay) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  // Is the newest snapshot one of a state that goes back to options_.restore_version?
  absl::StatusOr<bool> IsRestored(const StateFolder& found) const;
  struct SegmentStart {
    SegmentHead head;
    bool holds_nothing;  // but that
  };
  // nullopt if the file does not begin with a whole frame.
  absl::StatusOr<std::optional<SegmentStart>> ReadStart(uint64_t segment) const;
  // A restore that did not get as far as its snapshot leaves a segment, in which nothing can be yet.
  absl::Status RemoveUnfinishedRestore(StateFolder* found) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives all events of a snapshot to `replay`; returns the head of the file.
  absl::StatusOr<SegmentHead> ReplaySnapshot(const std::string& name, const Replay& replay);
  absl::Status Restore(const StateFolder& found, const Replay& replay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReadSegment(uint64_t segment, bool is_last, const Replay& replay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes the file and its first frame, durably; *bytes is its size.
  absl::StatusOr<std::unique_ptr<StateFile>> CreateSegment(const SegmentHead& head, uint64_t* bytes) const;
  // The same for the segment that the journal begins with.
  absl::Status StartSegment() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  using Clock = std::chrono::steady_clock;
  // When the thread has something to do; Clock::time_point::max() for not yet known.
  Clock::time_point Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After a change that may have moved Due().
  void WakeIfDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SleepUntilDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();  // the thread
  // Both let go of the lock while they write.
  void WriteFrame() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginSegment() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const JournalOptions options_;
  bool went_back_ = false;
  std::unique_ptr<StateFile> lock_file_;
  std::unique_ptr<StateFile> file_;  // the thread's, once it runs
  FrameBuffer writing_;              // likewise: the frame that is written
  std::atomic<int64_t> open_rounds_{0};

  mutable Mutex mutex_;
  CondVar work_;
  CondVar rotated_;
  FrameBuffer pending_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point pending_since_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point frame_begun_ ABSL_GUARDED_BY(mutex_);                              // the last one
  Clock::time_point asleep_until_ ABSL_GUARDED_BY(mutex_) = Clock::time_point::min();  // min: awake
  uint64_t appended_ ABSL_GUARDED_BY(mutex_) = 0;                                      // positions count from 1
  uint64_t written_ ABSL_GUARDED_BY(mutex_) = 0;                                       // and, with kVersion, durable
  SegmentHead segment_ ABSL_GUARDED_BY(mutex_);
  uint64_t frames_ ABSL_GUARDED_BY(mutex_) = 0;  // of the segment
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool rotate_ ABSL_GUARDED_BY(mutex_) = false;
  absl::StatusOr<SegmentHead> rotation_ ABSL_GUARDED_BY(mutex_) = SegmentHead{};
  std::deque<std::pair<uint64_t, std::function<void(const absl::Status&)>>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::thread writer_;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_JOURNAL_H_
