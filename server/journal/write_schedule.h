// When a journal writes what: group commit as a state machine. Events in, the time of the next write out; the journal's
// thread obeys (journal.cc).
//
// A frame is due as soon as a call waits for it. While any round is open, though, more events will follow soon: then a
// frame is begun at most once per kPace, because a sync costs the same however little it writes, and the calls of an
// open round can wait that long. Events that no call waits for are written after kLag, or when there are many.

#ifndef SERVER_JOURNAL_WRITE_SCHEDULE_H_
#define SERVER_JOURNAL_WRITE_SCHEDULE_H_

#include <cstddef>

#include "absl/time/time.h"
#include "server/journal/journal_options.h"

namespace cddp {

// No lock, clock or file: times are arguments, of one monotonic clock. Not thread-safe.
class WriteSchedule {
 public:
  static constexpr absl::Duration kPace = absl::Milliseconds(4);
  static constexpr absl::Duration kLag = absl::Milliseconds(20);

  explicit WriteSchedule(Durability durability);

  // `bytes` of events wait to be written.
  void NoteAppended(size_t bytes, absl::Duration now);
  // The number of calls that now wait for events to be written.
  void NoteWaiting(size_t calls) { waiting_ = calls; }
  // All waiting events go to a frame that is begun now.
  void NoteFrameBegun(absl::Duration now);
  // The events that wait now will not be written.
  void Forget() { bytes_ = 0; }

  // A new segment is wanted, or no longer: at once, after a frame of the waiting events.
  void WantSegment(bool wanted) { segment_ = wanted; }
  // The journal is to end, after a frame of the waiting events.
  void WantEnd() { end_ = true; }

  bool has_events() const { return bytes_ > 0; }
  bool wants_segment() const { return segment_; }
  bool wants_end() const { return end_; }
  // Whether so many bytes wait that even calls that need not wait for the disk should: it is slower than the network.
  bool is_behind() const;

  // The time of the next work: in the past for at once, the infinite future if there is none. Every event, and
  // `rounds_open`, may move it.
  absl::Duration Due(bool rounds_open) const;

  // The time until which to sleep, if nothing is due before `due`. Under load events come all the time: the thread
  // wakes by itself rather than being woken by the first of each kind.
  absl::Duration LookAgain(absl::Duration due, absl::Duration now) const;

 private:
  const size_t enough_;  // bytes that are written even if no call waits
  size_t bytes_ = 0;     // to be written
  absl::Duration since_;
  absl::Duration frame_begun_ = -absl::InfiniteDuration();  // the last one
  size_t waiting_ = 0;
  bool segment_ = false;
  bool end_ = false;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_WRITE_SCHEDULE_H_
