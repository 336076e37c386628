// A journal of events, which are bytes to it: files of frames (frame.h), one segment (segment.h) after the other. Its
// thread writes the events since its last write as one frame, syncs it, and then releases the calls that wait for it; a
// WriteSchedule decides when. A snapshot of the state before a segment replaces all segments before
// it.

#ifndef SERVER_JOURNAL_JOURNAL_H_
#define SERVER_JOURNAL_JOURNAL_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "common/sync/thread.h"
#include "server/journal/file_layer.h"
#include "server/journal/frame_buffer.h"
#include "server/journal/journal_options.h"
#include "server/journal/journal_start.h"
#include "server/journal/segment.h"
#include "server/journal/write_schedule.h"

namespace cddp {

// Thread-safe.
class Journal {
 public:
  // Gives the events of the newest snapshot, then every event after it, to `replay`. A torn tail is cut off, and an
  // unfinished snapshot is removed. A folder without a journal gets an empty one. DataLoss for
  // damaged or missing files, FailedPrecondition for a folder in use, ResourceExhausted for a full disk; all name the
  // file.
  using Replay = JournalReplay;
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const JournalOptions& options, const Replay& replay);

  // Writes the remaining events.
  ~Journal();

  const JournalOptions& options() const { return options_; }

  // Appends an event, `head` followed by `tail`, copying both. Its first byte must not be a tag of segment.h. Returns
  // its position, for waiting.
  uint64_t Append(absl::string_view head, absl::string_view tail);

  // Changes the number of open rounds, see WriteSchedule. Any thread, at any time.
  void NoteOpenRounds(int64_t change) { open_rounds_.fetch_add(change, std::memory_order_relaxed); }

  // Calls `then` once all events up to `position` are as durable as the options say, or the journal's error if they
  // will not be: after an error nothing is written any more. From this thread or the journal's; it must not block.
  void WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then);

  // The same, but waits.
  absl::Status Wait(uint64_t position);
  absl::Status WaitForAll();  // for everything appended

  // Begins a new segment. All events up to its position are durable when it returns; later ones go there. After an
  // error the old segment continues, or the whole journal has failed.
  absl::StatusOr<SegmentHead> Rotate();

  // Removes segments and snapshots before `segment`, whose snapshot must be durable.
  absl::Status RemoveBefore(uint64_t segment);

  uint64_t position() const;    // of the last event
  SegmentHead segment() const;  // to which events go now
  // Whether Open went back to the checkpoint. Then the caller must write a snapshot before segment(), and RemoveBefore.
  bool went_back() const { return went_back_; }
  uint64_t bytes() const;  // of the segment; with kSnapshot, what they would be
  absl::Status status() const;
  // ResourceExhausted, with the file's name, while the disk has no room: waiting calls get this error, and the journal
  // retries its writes in order until there is room; then it continues.
  absl::Status full() const;

 private:
  Journal(const JournalOptions& options, std::unique_ptr<StateFile> lock_file, JournalStart start);

  absl::Duration Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Call it after a change that may have moved Due().
  void WakeIfDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SleepUntilDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();  // the thread
  // Both release the lock while they write.
  void WriteFrame() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginSegment() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Notes the result of writing the frame in writing_, with events up to writing_position_.
  void NoteWritten(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteFull(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Removes the calls that need not wait any more, with their results: their events are durable, the journal has
  // failed, or the disk is full.
  struct Told {
    std::function<void(const absl::Status&)> then;
    absl::Status status;
  };
  std::vector<Told> TakeReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const JournalOptions options_;
  const bool went_back_;
  const std::unique_ptr<StateFile> lock_file_;
  std::unique_ptr<StateFile> file_;  // the thread's, once it runs
  FrameBuffer writing_;              // the thread's, too: the frame being written
  std::atomic<int64_t> open_rounds_{0};

  mutable Mutex mutex_;
  CondVar work_;
  CondVar rotated_;
  WriteSchedule schedule_ ABSL_GUARDED_BY(mutex_);
  FrameBuffer pending_ ABSL_GUARDED_BY(mutex_);
  absl::Duration asleep_until_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();  // that: awake
  uint64_t appended_ ABSL_GUARDED_BY(mutex_);                                        // positions count from 1
  uint64_t written_ ABSL_GUARDED_BY(mutex_);                                         // and, with kVersion, durable
  SegmentHead segment_ ABSL_GUARDED_BY(mutex_);
  uint64_t frames_ ABSL_GUARDED_BY(mutex_);  // of the segment
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_);
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  absl::Status full_ ABSL_GUARDED_BY(mutex_);  // not OK: the frame in writing_ waits for room
  uint64_t writing_position_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::StatusOr<SegmentHead> rotation_ ABSL_GUARDED_BY(mutex_) = SegmentHead{};
  std::deque<std::pair<uint64_t, std::function<void(const absl::Status&)>>> waiting_ ABSL_GUARDED_BY(mutex_);
  Thread writer_;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_JOURNAL_H_
