#include "server/journal/journal.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/journal/frame.h"
#include "server/journal/snapshot.h"
#include "server/journal/state_folder.h"

namespace cddp {
namespace {

// While rounds are open, a frame is begun so often at most: a sync costs the same however little it writes.
constexpr auto kPace = std::chrono::milliseconds(4);
// Events that nobody waits for are written after so long, or when there are so many: without a sync, while they are in
// the processor's cache; with one, seldom.
constexpr auto kLag = std::chrono::milliseconds(20);
constexpr size_t kFrameBytes = size_t{256} << 10;
constexpr size_t kSyncedFrameBytes = size_t{4} << 20;
// Where answers do not wait for the disk, they do when so much waits for it: it is slower than the network.
constexpr size_t kMostUnwritten = size_t{64} << 20;

absl::Status InFile(const absl::Status& status, const JournalOptions& options, uint64_t segment) {
  const std::string path = absl::StrCat(options.folder, "/", SegmentName(segment));
  if (absl::StrContains(status.message(), path)) return status;  // the system's errors name it already
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status Missing(const JournalOptions& options, const std::string& name) {
  return absl::DataLossError(
      absl::StrCat(options.folder, "/", name, ": is missing: restore it from a copy, go back to ",
                   "a checkpoint with --restore_version, or start anew with an empty ", "--state_dir"));
}

}  // namespace

bool AbslParseFlag(absl::string_view text, Durability* durability, std::string* error) {
  for (Durability candidate : {Durability::kVersion, Durability::kSnapshot, Durability::kNone}) {
    if (text == AbslUnparseFlag(candidate)) {
      *durability = candidate;
      return true;
    }
  }
  *error = "must be version, snapshot or none";
  return false;
}

std::string AbslUnparseFlag(Durability durability) {
  switch (durability) {
    case Durability::kVersion:
      return "version";
    case Durability::kSnapshot:
      return "snapshot";
    case Durability::kNone:
      return "none";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const Replay& replay) {
  std::unique_ptr<Journal> journal(new Journal(options));
  absl::StatusOr<std::unique_ptr<StateFile>> lock_file = options.files->Open(options.folder, kLockName);
  if (!lock_file.ok()) return lock_file.status();
  journal->lock_file_ = *std::move(lock_file);
  absl::Status status = journal->Recover(replay);
  if (status.ok()) status = options.files->SyncFolder(options.folder);
  if (!status.ok()) return status;
  journal->writer_ = std::thread([raw = journal.get()] { raw->Run(); });
  return journal;
}

absl::StatusOr<SegmentHead> Journal::ReplaySnapshot(const std::string& name, const Replay& replay) {
  absl::StatusOr<std::unique_ptr<SnapshotReader>> reader = SnapshotReader::Open(*options_.files, options_.folder, name);
  if (!reader.ok()) return reader.status();
  SharedBytes event;
  absl::StatusOr<bool> more = (*reader)->Next(&event);
  for (; more.ok() && *more; more = (*reader)->Next(&event)) {
    if (const absl::Status status = replay(event, 0).status(); !status.ok()) return (*reader)->InFile(status);
  }
  if (!more.ok()) return more.status();
  return (*reader)->segment();
}

absl::StatusOr<std::optional<Journal::SegmentStart>> Journal::ReadStart(uint64_t segment) const {
  absl::StatusOr<std::unique_ptr<StateFile>> file =
      options_.files->OpenForReading(options_.folder, SegmentName(segment));
  if (!file.ok()) return file.status();
  FrameReader reader(file->get());
  const absl::StatusOr<std::shared_ptr<const std::string>> frame = reader.Next();
  if (!frame.ok() && !absl::IsDataLoss(frame.status())) return frame.status();
  if (!frame.ok() || *frame == nullptr) return std::optional<SegmentStart>();
  absl::string_view bytes = **frame;
  SegmentHead head;
  if (!TakeSegmentHead(&bytes, &head).ok()) return std::optional<SegmentStart>();
  const absl::StatusOr<std::shared_ptr<const std::string>> next = reader.Next();
  return std::optional(SegmentStart{head, bytes.empty() && next.ok() && *next == nullptr});
}

absl::StatusOr<bool> Journal::IsRestored(const StateFolder& found) const {
  if (!found.snapshots.empty()) {
    absl::StatusOr<std::unique_ptr<SnapshotReader>> newest =
        SnapshotReader::Open(*options_.files, options_.folder, SnapshotName(*found.snapshots.rbegin()));
    if (newest.ok()) return (*newest)->segment().restored == options_.restore_version;
    if (!absl::IsDataLoss(newest.status())) return newest.status();
  }
  // Damaged or missing it is a reason to go back, but not for a state that has gone back there before, and on since.
  for (const uint64_t segment : found.segments) {
    const absl::StatusOr<std::optional<SegmentStart>> start = ReadStart(segment);
    if (!start.ok()) return start.status();
    if (!start->has_value() || (*start)->head.restored != options_.restore_version || (*start)->holds_nothing) continue;
    return absl::DataLossError(absl::StrCat(
        options_.folder, "/", SegmentName(segment), ": goes on from --restore_version=", options_.restore_version,
        ", but the snapshot that it begins with is damaged or missing: restore that from a copy, or go back to another "
        "checkpoint; to go back to this one again, and lose what came since, move ",
        SegmentName(segment), " away"));
  }
  return false;
}

absl::Status Journal::RemoveUnfinishedRestore(StateFolder* found) const {
  while (!found->segments.empty() && found->snapshots.count(*found->segments.rbegin()) == 0) {
    const uint64_t newest = *found->segments.rbegin();
    const absl::StatusOr<std::optional<SegmentStart>> start = ReadStart(newest);
    if (!start.ok()) return start.status();
    if (!start->has_value() || !(*start)->holds_nothing || (*start)->head.restored == segment_.restored) break;
    spdlog::warn(
        "event=restore_undone folder={} restore_version={} reason=\"its start did not get as far as a snapshot, and "
        "this "
        "one has no --restore_version: the state is what it was before\"",
        options_.folder, (*start)->head.restored);
    absl::Status status = options_.files->Remove(options_.folder, SegmentName(newest));
    if (status.ok()) status = options_.files->SyncFolder(options_.folder);
    if (!status.ok()) return status;
    found->segments.erase(newest);
  }
  return absl::OkStatus();
}

absl::Status Journal::Recover(const Replay& replay) {
  absl::StatusOr<StateFolder> found = ListStateFolder(*options_.files, options_.folder);
  if (!found.ok()) return found.status();
  for (const std::string& name : found->unfinished) {
    if (absl::Status status = options_.files->Remove(options_.folder, name); !status.ok()) return status;
  }
  if (options_.restore_version != 0) {
    const absl::StatusOr<bool> restored = IsRestored(*found);
    if (!restored.ok()) return restored.status();
    if (!*restored) return Restore(*found, replay);
  }
  uint64_t first = 0;
  if (!found->snapshots.empty()) {
    first = *found->snapshots.rbegin();
    const absl::StatusOr<SegmentHead> snapshot = ReplaySnapshot(SnapshotName(first), replay);
    if (!snapshot.ok()) return snapshot.status();
    if (snapshot->segment != first) return Missing(options_, SnapshotName(first));
    appended_ = snapshot->position;
    segment_ = *snapshot;
    found->segments.erase(found->segments.begin(), found->segments.lower_bound(first));
  }
  if (absl::Status status = RemoveUnfinishedRestore(&*found); !status.ok()) return status;
  if (found->segments.empty()) {
    if (!found->snapshots.empty()) return Missing(options_, SegmentName(first));
    if (!found->checkpoints.empty()) return Missing(options_, SegmentName(0));
    return StartSegment();
  }
  const uint64_t last = *found->segments.rbegin();
  for (uint64_t segment = first; segment <= last; ++segment) {
    if (found->segments.count(segment) == 0) return Missing(options_, SegmentName(segment));
    if (absl::Status status = ReadSegment(segment, segment == last, replay); !status.ok()) {
      return InFile(status, options_, segment);
    }
  }
  if (frames_ == 0) {
    // A snapshot is begun after the first frame of its segment is on the disk: no crash leaves it without one.
    if (found->snapshots.count(last) > 0) {
      return InFile(absl::DataLossError("is damaged: its beginning is missing; restore it from a copy, or start anew "
                                        "with an empty --state_dir"),
                    options_, last);
    }
    if (absl::Status status = StartSegment(); !status.ok()) return status;
  }
  written_ = appended_;
  // The snapshot's writer may have died before its name was on the disk.
  absl::Status status = options_.files->SyncFolder(options_.folder);
  return status.ok() ? RemoveBefore(first) : status;
}

absl::Status Journal::Restore(const StateFolder& found, const Replay& replay) {
  const absl::StatusOr<SegmentHead> checkpoint = ReplaySnapshot(CheckpointName(options_.restore_version), replay);
  if (!checkpoint.ok()) return checkpoint.status();
  // A segment beyond all others; a snapshot before it, which the caller writes, makes them void.
  segment_.restored = options_.restore_version;
  if (!found.segments.empty()) segment_.segment = *found.segments.rbegin() + 1;
  if (!found.snapshots.empty()) segment_.segment = std::max(segment_.segment, *found.snapshots.rbegin() + 1);
  went_back_ = true;
  return StartSegment();
}

absl::Status Journal::ReadSegment(uint64_t segment, bool is_last, const Replay& replay) {
  absl::StatusOr<std::unique_ptr<StateFile>> file = options_.files->Open(options_.folder, SegmentName(segment));
  if (!file.ok()) return file.status();
  FrameReader reader(file->get());
  while (true) {
    absl::StatusOr<std::shared_ptr<const std::string>> frame = reader.Next();
    if (!frame.ok()) return frame.status();
    if (*frame == nullptr) break;
    absl::string_view bytes = **frame;
    if (reader.frames() == 1) {
      SegmentHead head;
      if (absl::Status status = TakeSegmentHead(&bytes, &head); !status.ok()) return status;
      if (head.segment != segment || head.position != appended_) {
        return absl::DataLossError(absl::StrCat("is damaged: it does not begin where the segment before it ends; ",
                                                "restore it from a copy, or start anew with an empty --state_dir"));
      }
    }
    if (bytes.empty()) continue;
    const absl::StatusOr<uint64_t> events = replay(SharedBytes(*frame, bytes), appended_ + 1);
    if (!events.ok()) return events.status();
    appended_ += *events;
  }
  absl::StatusOr<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  if (!is_last) {  // its end was synced before the next began
    return *size == reader.whole_bytes() ? absl::OkStatus() : absl::DataLossError("is damaged: its end is missing");
  }
  segment_.segment = segment;
  frames_ = reader.frames();
  bytes_ = reader.whole_bytes();
  if (*size != bytes_) {
    spdlog::warn(
        "event=journal_tail_cut folder={} segment={} bytes={} reason=\"its writer ended while writing; "
        "nothing of it was answered\"",
        options_.folder, segment, *size - bytes_);
    if (absl::Status status = (*file)->Truncate(bytes_); !status.ok()) return status;
  }
  // Read does not mean on the disk: the process that wrote it may have died before its sync.
  if (absl::Status status = (*file)->Sync(); !status.ok()) return status;
  if (frames_ > 0) file_ = *std::move(file);
  return absl::OkStatus();
}

absl::Status Journal::StartSegment() {
  segment_.position = appended_;
  absl::StatusOr<std::unique_ptr<StateFile>> file = CreateSegment(segment_, &bytes_);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  frames_ = 1;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<StateFile>> Journal::CreateSegment(const SegmentHead& head, uint64_t* bytes) const {
  absl::StatusOr<std::unique_ptr<StateFile>> file = options_.files->Open(options_.folder, SegmentName(head.segment));
  if (!file.ok()) return file.status();
  *bytes = 0;
  absl::Status status = AppendFrame(**file, 0, {ToBytes(head)}, bytes);
  if (status.ok()) status = (*file)->Sync();
  if (status.ok()) status = options_.files->SyncFolder(options_.folder);
  if (!status.ok()) return status;
  return file;
}

Journal::~Journal() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
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
    if (pending_.empty()) pending_since_ = Clock::now();
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
                       (options_.durability == Durability::kNone && pending_.size() > kMostUnwritten);
    if (status.ok() && written_ < position && waits) {
      waiting_.emplace_back(position, std::move(then));
      WakeIfDue();
      return;
    }
  }
  then(status);
}

absl::Status Journal::Wait(uint64_t position) {
  const auto result = std::make_shared<std::promise<absl::Status>>();
  WhenDurable(position, [result](const absl::Status& status) { result->set_value(status); });
  return result->get_future().get();
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
  rotated_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !rotate_ || !failed_.ok(); });
  if (!failed_.ok()) return failed_;
  rotate_ = true;
  WakeIfDue();
  rotated_.Wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !rotate_; });
  return rotation_;
}

void Journal::WriteFrame() {
  writing_.Swap(pending_);
  frame_begun_ = Clock::now();
  const uint64_t position = appended_;
  const uint64_t number = frames_;
  const uint64_t whole = bytes_;
  mutex_.Unlock();
  const absl::Time begin = absl::Now();
  const absl::string_view frame = writing_.Seal(number);
  absl::Status status = file_->Append({frame});
  if (status.ok() && options_.durability == Durability::kVersion) status = file_->Sync();
  if (options_.synced) options_.synced(absl::Now() - begin);
  writing_.Clear();
  // Nobody may find what could not be synced. If it cannot be cut off either: half a frame is a torn tail.
  if (!status.ok()) file_->Truncate(whole).IgnoreError();
  mutex_.Lock();
  if (!status.ok()) {
    Fail(InFile(status, options_, segment_.segment));
    return;
  }
  written_ = position;
  ++frames_;
  bytes_ = whole + frame.size();
}

void Journal::BeginSegment() {
  SegmentHead next = segment_;
  ++next.segment;
  next.position = written_;
  uint64_t bytes = 0;
  mutex_.Unlock();
  // Events that were answered without a sync get theirs now: only the last segment may have a torn tail.
  const absl::Status synced = options_.durability == Durability::kNone ? file_->Sync() : absl::OkStatus();
  absl::StatusOr<std::unique_ptr<StateFile>> file = synced.ok() ? CreateSegment(next, &bytes) : synced;
  absl::Status removed;
  if (synced.ok() && !file.ok()) {  // a start would take the old segment's end for damage
    removed = options_.files->Remove(options_.folder, SegmentName(next.segment));
    if (removed.ok()) removed = options_.files->SyncFolder(options_.folder);
    if (absl::IsNotFound(removed)) removed = absl::OkStatus();  // it was not made, for lack of a descriptor perhaps
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
    // The kernel tells of what it could not write once: the next sync would seem to succeed.
    if (!synced.ok() || !removed.ok()) Fail(rotation_.status());
  }
  rotate_ = false;
  rotated_.NotifyAll();
}

void Journal::Fail(const absl::Status& status) {
  failed_ = status;
  pending_.Clear();
  spdlog::error("event=journal_failed reason=\"{}\"", std::string(failed_.message()));
}

Journal::Clock::time_point Journal::Due() const {
  const size_t enough = options_.durability == Durability::kVersion ? kSyncedFrameBytes : kFrameBytes;
  if (ending_ || rotate_ || pending_.size() >= enough) return Clock::time_point::min();
  if (pending_.empty()) return Clock::time_point::max();
  if (waiting_.empty()) return pending_since_ + kLag;
  return open_rounds_.load(std::memory_order_relaxed) > 0 ? frame_begun_ + kPace : Clock::time_point::min();
}

void Journal::WakeIfDue() {
  if (Due() < asleep_until_) work_.NotifyOne();
}

void Journal::SleepUntilDue() {
  for (Clock::time_point due; (due = Due()) > Clock::now();) {
    asleep_until_ = due;
    // Under load events come all the time: rather than be woken by the first of each kind, it looks for itself.
    for (const Clock::time_point look : {frame_begun_ + kLag, frame_begun_ + kPace}) {
      if (look > Clock::now()) asleep_until_ = std::min(asleep_until_, look);
    }
    work_.WaitUntil(mutex_, asleep_until_);
  }
  asleep_until_ = Clock::time_point::min();
}

void Journal::Run() {
  MutexLock lock(mutex_);
  while (failed_.ok()) {
    SleepUntilDue();
    if (!pending_.empty()) {
      WriteFrame();
    } else if (!rotate_) {
      return;
    }
    if (rotate_ && failed_.ok()) BeginSegment();
    std::vector<std::function<void(const absl::Status&)>> ready;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (failed_.ok() && it->first > written_) {
        ++it;
        continue;
      }
      ready.push_back(std::move(it->second));
      it = waiting_.erase(it);
    }
    const absl::Status told = failed_;
    lock.Unlock();
    for (const auto& then : ready) then(told);
    lock.Lock();
  }
  rotation_ = failed_;
  rotate_ = false;
  rotated_.NotifyAll();
}

absl::Status Journal::RemoveBefore(uint64_t segment) {
  absl::StatusOr<StateFolder> found = ListStateFolder(*options_.files, options_.folder);
  if (!found.ok()) return found.status();
  std::vector<std::string> names;
  for (uint64_t old : found->snapshots) {
    if (old < segment) names.push_back(SnapshotName(old));
  }
  for (uint64_t old : found->segments) {
    if (old < segment) names.push_back(SegmentName(old));
  }
  for (const std::string& name : names) {
    if (absl::Status status = options_.files->RemoveGently(options_.folder, name); !status.ok()) return status;
  }
  return names.empty() ? absl::OkStatus() : options_.files->SyncFolder(options_.folder);
}

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

}  // namespace cddp
