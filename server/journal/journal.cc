#include "server/journal/journal.h"

#include <spdlog/spdlog.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "server/journal/segment_files.h"
#include "server/journal/state_folder.h"

namespace cddp {
namespace {

constexpr absl::Duration kRoomLook = absl::Milliseconds(500);  // between two tries on a full disk

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const Replay& replay) {
  absl::StatusOr<std::unique_ptr<StateFile>> lock_file = options.files->Open(options.folder, kLockName);
  if (!lock_file.ok()) return lock_file.status();
  absl::StatusOr<JournalStart> start = StartJournal(options, replay);
  if (!start.ok()) return start.status();
  std::unique_ptr<Journal> journal(new Journal(options, *std::move(lock_file), *std::move(start)));
  journal->writer_ = Thread([raw = journal.get()] { raw->Run(); });
  return journal;
}

Journal::Journal(const JournalOptions& options, std::unique_ptr<StateFile> lock_file, JournalStart start)
    : options_(options),
      went_back_(start.went_back),
      lock_file_(std::move(lock_file)),
      file_(std::move(start.file)),
      schedule_(options.durability),
      appended_(start.position),
      written_(start.position),
      segment_(start.segment),
      frames_(start.frames),
      bytes_(start.bytes) {}

Journal::~Journal() {
  {
    MutexLock lock(mutex_);
    schedule_.WantEnd();
    WakeIfDue();
  }
  if (writer_.joinable()) writer_.join();
}

uint64_t Journal::Append(absl::string_view head, absl::string_view tail) {
  MutexLock lock(mutex_);
  if (options_.durability == Durability::kSnapshot) {
    bytes_ += head.size() + tail.size();
    return appended_;  // positions are those of events in the files
  }
  if (failed_.ok()) {
    // Only the time of a frame's first event counts.
    schedule_.NoteAppended(head.size() + tail.size(), schedule_.has_events() ? absl::Duration() : MonotonicNow());
    pending_.Append(head);
    pending_.Append(tail);
    WakeIfDue();
  }
  return ++appended_;
}

void Journal::WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then) {
  absl::Status status;
  {
    MutexLock lock(mutex_);
    status = failed_;
    const bool waits = options_.durability == Durability::kVersion ||
                       (options_.durability == Durability::kNone && schedule_.is_behind());
    if (status.ok() && written_ < position && waits && !full_.ok()) {
      status = full_;
    } else if (status.ok() && written_ < position && waits) {
      waiting_.emplace_back(position, std::move(then));
      schedule_.NoteWaiting(waiting_.size());
      WakeIfDue();
      return;
    }
  }
  then(status);
}

absl::Status Journal::Wait(uint64_t position) {
  // Shared with the callback, whose last access may come after this has returned.
  struct Result {
    Mutex mutex;
    CondVar known;
    std::optional<absl::Status> status ABSL_GUARDED_BY(mutex);
  };
  const auto result = std::make_shared<Result>();
  WhenDurable(position, [result](const absl::Status& status) {
    MutexLock lock(result->mutex);
    result->status = status;
    result->known.NotifyAll();
  });
  MutexLock lock(result->mutex);
  result->known.Wait(result->mutex,
                     [&result]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(result->mutex) { return result->status.has_value(); });
  return *result->status;
}

absl::Status Journal::WaitForAll() {
  uint64_t position;
  {
    MutexLock lock(mutex_);
    position = appended_;
  }
  return Wait(position);
}

absl::StatusOr<SegmentHead> Journal::Rotate() {
  MutexLock lock(mutex_);
  rotated_.Wait(mutex_,
                [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !schedule_.wants_segment() || !failed_.ok(); });
  if (!failed_.ok()) return failed_;
  schedule_.WantSegment(true);
  WakeIfDue();
  rotated_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !schedule_.wants_segment(); });
  return rotation_;
}

void Journal::WriteFrame() {
  if (full_.ok()) {
    writing_.Swap(pending_);
    schedule_.NoteFrameBegun(MonotonicNow());
    writing_position_ = appended_;
  }
  const uint64_t number = frames_;
  const uint64_t whole = bytes_;
  mutex_.Unlock();
  const absl::Time begin = SteadyNow();
  const absl::string_view frame = writing_.Seal(number);
  absl::Status status = file_->Append({frame});
  // Before a sync nothing is lost, so the frame may be written again.
  const bool is_full = absl::IsResourceExhausted(status);
  if (status.ok() && options_.durability == Durability::kVersion) status = file_->Sync();
  if (options_.synced) options_.synced(SteadyNow() - begin);
  // No start may find what could not be synced. If it cannot be cut off either, half a frame is a torn tail.
  const absl::Status cut = status.ok() ? absl::OkStatus() : file_->Truncate(whole);
  mutex_.Lock();
  if (status.ok()) {
    NoteWritten(frame.size());
  } else if (is_full && cut.ok()) {
    NoteFull(InFile(status, options_, segment_.segment));
  } else {
    Fail(InFile(status, options_, segment_.segment));
  }
}

void Journal::NoteWritten(size_t bytes) {
  writing_.Clear();
  written_ = writing_position_;
  ++frames_;
  bytes_ += bytes;
  if (full_.ok()) return;
  full_ = absl::OkStatus();
  spdlog::info("event=journal_goes_on folder={} reason=\"there is room on the disk again\"", options_.folder);
}

void Journal::NoteFull(const absl::Status& status) {
  if (full_.ok()) {
    spdlog::error("event=disk_full reason=\"{}\"", std::string(status.message()));
  }
  full_ = status;
}

void Journal::BeginSegment() {
  SegmentHead next = segment_;
  ++next.segment;
  next.position = written_;
  uint64_t bytes = 0;
  mutex_.Unlock();
  // Events that were answered without a sync get theirs now: only the last segment may have a torn tail.
  const absl::Status synced = options_.durability == Durability::kNone ? file_->Sync() : absl::OkStatus();
  absl::StatusOr<std::unique_ptr<StateFile>> file = synced.ok() ? CreateSegment(options_, next, &bytes) : synced;
  absl::Status removed;
  if (synced.ok() && !file.ok()) {  // a start would take the old segment's end for damage
    removed = options_.files->Remove(options_.folder, SegmentName(next.segment));
    if (removed.ok()) removed = options_.files->SyncFolder(options_.folder);
    if (absl::IsNotFound(removed)) removed = absl::OkStatus();  // it was not created, perhaps for lack of a descriptor
  }
  mutex_.Lock();
  if (file.ok()) {
    file_ = *std::move(file);
    segment_ = next;
    frames_ = 1;
    bytes_ = bytes;
    rotation_ = next;
  } else {
    rotation_ = InFile(file.status(), options_, next.segment);
    // The kernel reports a failed write-back only once; a second sync would falsely succeed, so fail for good.
    if (!synced.ok() || !removed.ok()) Fail(rotation_.status());
  }
  schedule_.WantSegment(false);
  rotated_.NotifyAll();
}

void Journal::Fail(const absl::Status& status) {
  failed_ = status;
  pending_.Clear();
  schedule_.Forget();
  spdlog::error("event=journal_failed reason=\"{}\"", std::string(failed_.message()));
}

absl::Duration Journal::Due() const { return schedule_.Due(open_rounds_.load(std::memory_order_relaxed) > 0); }

void Journal::WakeIfDue() {
  if (Due() < asleep_until_) work_.NotifyOne();
}

void Journal::SleepUntilDue() {
  absl::Duration now = MonotonicNow();
  for (absl::Duration due; (due = Due()) > now; now = MonotonicNow()) {
    asleep_until_ = schedule_.LookAgain(due, now);
    work_.WaitFor(mutex_, asleep_until_ - now,
                  [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return Due() < asleep_until_; });
  }
  asleep_until_ = -absl::InfiniteDuration();
}

std::vector<Journal::Told> Journal::TakeReady() {
  std::vector<Told> ready;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const bool is_written = it->first <= written_;
    if (failed_.ok() && full_.ok() && !is_written) {
      ++it;
      continue;
    }
    ready.push_back({std::move(it->second), failed_.ok() && is_written ? absl::OkStatus()
                                            : failed_.ok()             ? full_
                                                                       : failed_});
    it = waiting_.erase(it);
  }
  schedule_.NoteWaiting(waiting_.size());
  return ready;
}

void Journal::Run() {
  MutexLock lock(mutex_);
  while (failed_.ok()) {
    if (full_.ok()) {
      SleepUntilDue();
    } else {
      work_.WaitFor(mutex_, kRoomLook, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return schedule_.wants_segment() || schedule_.wants_end();
      });
    }
    if (!full_.ok() || schedule_.has_events()) {
      WriteFrame();
    } else if (!schedule_.wants_segment()) {
      return;
    }
    if (!full_.ok() && schedule_.wants_end()) Fail(full_);
    if (schedule_.wants_segment() && !full_.ok()) {
      rotation_ = full_;
      schedule_.WantSegment(false);
      rotated_.NotifyAll();
    }
    if (schedule_.wants_segment() && failed_.ok()) BeginSegment();
    const std::vector<Told> ready = TakeReady();
    lock.Unlock();
    for (const Told& told : ready) told.then(told.status);
    lock.Lock();
  }
  rotation_ = failed_;
  schedule_.WantSegment(false);
  rotated_.NotifyAll();
}

absl::Status Journal::RemoveBefore(uint64_t segment) { return cddp::RemoveBefore(options_, segment); }

uint64_t Journal::position() const {
  MutexLock lock(mutex_);
  return appended_;
}

SegmentHead Journal::segment() const {
  MutexLock lock(mutex_);
  return segment_;
}

uint64_t Journal::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

absl::Status Journal::status() const {
  MutexLock lock(mutex_);
  return failed_;
}

absl::Status Journal::full() const {
  MutexLock lock(mutex_);
  return full_;
}

}  // namespace cddp
