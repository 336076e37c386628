#include "server/journal/journal_start.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/journal/frame.h"
#include "server/journal/segment_files.h"
#include "server/journal/snapshot.h"
#include "server/journal/state_folder.h"

namespace cddp {
namespace {

absl::Status Missing(const JournalOptions& options, const std::string& name) {
  return absl::DataLossError(
      absl::StrCat(options.folder, "/", name, ": is missing: restore it from a copy, go back to ",
                   "a checkpoint with --restore_version, or start anew with an empty ", "--state_dir"));
}

class JournalReader {
 public:
  JournalReader(const JournalOptions& options, const JournalReplay& replay) : options_(options), replay_(replay) {}

  absl::Status Start() {
    absl::Status status = Recover();
    if (status.ok()) status = NoteSyncing();
    return status.ok() ? options_.files->SyncFolder(options_.folder) : status;
  }
  JournalStart Take() { return std::move(start_); }

 private:
  absl::Status Recover();
  // Whether the newest snapshot is of a state that goes back to options_.restore_version.
  absl::StatusOr<bool> IsRestored(const StateFolder& found) const;
  struct SegmentStart {
    SegmentHead head;
    bool holds_nothing;  // except that
  };
  // nullopt if the file does not begin with a complete frame.
  absl::StatusOr<std::optional<SegmentStart>> ReadStart(uint64_t segment) const;
  // A restore that failed before its snapshot leaves a segment, which must be empty.
  absl::Status RemoveUnfinishedRestore(StateFolder* found) const;
  // Gives all events of a snapshot to `replay_`; returns the head of the file.
  absl::StatusOr<SegmentHead> ReplaySnapshot(const std::string& name);
  absl::Status Restore(const StateFolder& found);
  absl::Status ReadSegment(uint64_t segment, bool is_last);
  // Makes the last segment, of which `reader` has read all whole frames, end there, and durable.
  absl::Status MakeDurable(StateFile& file, const FrameReader& reader);
  // Makes the segment that the journal begins with.
  absl::Status StartSegment();
  // Records in the folder whether frames are synced one by one from now on.
  absl::Status NoteSyncing();

  const JournalOptions& options_;
  const JournalReplay& replay_;
  JournalStart start_;
  bool unsynced_ = false;  // see StateFolder
};

absl::StatusOr<SegmentHead> JournalReader::ReplaySnapshot(const std::string& name) {
  absl::StatusOr<std::unique_ptr<SnapshotReader>> reader = SnapshotReader::Open(*options_.files, options_.folder, name);
  if (!reader.ok()) return reader.status();
  SharedBytes event;
  absl::StatusOr<bool> more = (*reader)->Next(&event);
  for (; more.ok() && *more; more = (*reader)->Next(&event)) {
    if (const absl::Status status = replay_(event, 0).status(); !status.ok()) return (*reader)->InFile(status);
  }
  if (!more.ok()) return more.status();
  return (*reader)->segment();
}

absl::StatusOr<std::optional<JournalReader::SegmentStart>> JournalReader::ReadStart(uint64_t segment) const {
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

absl::StatusOr<bool> JournalReader::IsRestored(const StateFolder& found) const {
  if (!found.snapshots.empty()) {
    absl::StatusOr<std::unique_ptr<SnapshotReader>> newest =
        SnapshotReader::Open(*options_.files, options_.folder, SnapshotName(*found.snapshots.rbegin()));
    if (newest.ok()) return (*newest)->segment().restored == options_.restore_version;
    if (!absl::IsDataLoss(newest.status())) return newest.status();
  }
  // If it is damaged or missing, go back; but not if the state has gone back there before and continued since.
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

absl::Status JournalReader::RemoveUnfinishedRestore(StateFolder* found) const {
  while (!found->segments.empty() && found->snapshots.count(*found->segments.rbegin()) == 0) {
    const uint64_t newest = *found->segments.rbegin();
    const absl::StatusOr<std::optional<SegmentStart>> start = ReadStart(newest);
    if (!start.ok()) return start.status();
    if (!start->has_value() || !(*start)->holds_nothing || (*start)->head.restored == start_.segment.restored) break;
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

absl::Status JournalReader::Recover() {
  absl::StatusOr<StateFolder> found = ListStateFolder(*options_.files, options_.folder);
  if (!found.ok()) return found.status();
  unsynced_ = found->unsynced;
  for (const std::string& name : found->unfinished) {
    if (absl::Status status = options_.files->Remove(options_.folder, name); !status.ok()) return status;
  }
  if (options_.restore_version != 0) {
    const absl::StatusOr<bool> restored = IsRestored(*found);
    if (!restored.ok()) return restored.status();
    if (!*restored) return Restore(*found);
  }
  uint64_t first = 0;
  if (!found->snapshots.empty()) {
    first = *found->snapshots.rbegin();
    const absl::StatusOr<SegmentHead> snapshot = ReplaySnapshot(SnapshotName(first));
    if (!snapshot.ok()) return snapshot.status();
    if (snapshot->segment != first) return Missing(options_, SnapshotName(first));
    start_.position = snapshot->position;
    start_.segment = *snapshot;
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
    if (absl::Status status = ReadSegment(segment, segment == last); !status.ok()) {
      return InFile(status, options_, segment);
    }
  }
  if (start_.frames == 0) {
    // A snapshot is begun after the first frame of its segment is on the disk: no crash leaves it without one.
    if (found->snapshots.count(last) > 0) {
      return InFile(absl::DataLossError("is damaged: its beginning is missing; restore it from a copy, or start anew "
                                        "with an empty --state_dir"),
                    options_, last);
    }
    if (absl::Status status = StartSegment(); !status.ok()) return status;
  }
  // The snapshot's writer may have died before its name was on the disk.
  absl::Status status = options_.files->SyncFolder(options_.folder);
  return status.ok() ? RemoveBefore(options_, first) : status;
}

absl::Status JournalReader::Restore(const StateFolder& found) {
  const absl::StatusOr<SegmentHead> checkpoint = ReplaySnapshot(CheckpointName(options_.restore_version));
  if (!checkpoint.ok()) return checkpoint.status();
  // A segment beyond all others; a snapshot before it, which the caller writes, makes them void.
  start_.segment.restored = options_.restore_version;
  if (!found.segments.empty()) start_.segment.segment = *found.segments.rbegin() + 1;
  if (!found.snapshots.empty())
    start_.segment.segment = std::max(start_.segment.segment, *found.snapshots.rbegin() + 1);
  start_.went_back = true;
  return StartSegment();
}

absl::Status JournalReader::ReadSegment(uint64_t segment, bool is_last) {
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
      if (head.segment != segment || head.position != start_.position) {
        return absl::DataLossError(absl::StrCat("is damaged: it does not begin where the segment before it ends; ",
                                                "restore it from a copy, or start anew with an empty --state_dir"));
      }
    }
    if (bytes.empty()) continue;
    const absl::StatusOr<uint64_t> events = replay_(SharedBytes(*frame, bytes), start_.position + 1);
    if (!events.ok()) return events.status();
    start_.position += *events;
  }
  if (!is_last) {  // its end was synced before the next began
    const absl::StatusOr<uint64_t> size = (*file)->Size();
    if (!size.ok()) return size.status();
    return *size == reader.whole_bytes() ? absl::OkStatus() : absl::DataLossError("is damaged: its end is missing");
  }
  start_.segment.segment = segment;
  start_.frames = reader.frames();
  start_.bytes = reader.whole_bytes();
  if (absl::Status status = MakeDurable(**file, reader); !status.ok()) return status;
  if (start_.frames > 0) start_.file = *std::move(file);
  return absl::OkStatus();
}

absl::Status JournalReader::MakeDurable(StateFile& file, const FrameReader& reader) {
  const absl::StatusOr<uint64_t> size = file.Size();
  if (!size.ok()) return size.status();
  if (*size != reader.whole_bytes()) {
    spdlog::warn(
        "event=journal_tail_cut folder={} segment={} bytes={} reason=\"its writer ended while writing; "
        "nothing of it was answered\"",
        options_.folder, start_.segment.segment, *size - reader.whole_bytes());
    if (absl::Status status = file.Truncate(reader.whole_bytes()); !status.ok()) return status;
  }
  // Read does not mean on the disk: the process that wrote it may have died before its sync, or a start before this one
  // may have failed because its sync did. The frames before the last were synced, or it would not have been begun.
  if (reader.frames() > 0) {
    const uint64_t from = unsynced_ ? 0 : reader.last_frame();
    if (absl::Status status = file.Rewrite(from, reader.whole_bytes()); !status.ok()) return status;
  }
  return file.Sync();
}

absl::Status JournalReader::NoteSyncing() {
  const bool unsynced = options_.durability == Durability::kNone;
  if (unsynced == unsynced_) return absl::OkStatus();
  if (!unsynced) return options_.files->Remove(options_.folder, kUnsyncedName);
  return options_.files->Open(options_.folder, kUnsyncedName).status();
}

absl::Status JournalReader::StartSegment() {
  start_.segment.position = start_.position;
  absl::StatusOr<std::unique_ptr<StateFile>> file = CreateSegment(options_, start_.segment, &start_.bytes);
  if (!file.ok()) return file.status();
  start_.file = *std::move(file);
  start_.frames = 1;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JournalStart> StartJournal(const JournalOptions& options, const JournalReplay& replay) {
  JournalReader reader(options, replay);
  if (absl::Status status = reader.Start(); !status.ok()) return status;
  return reader.Take();
}

}  // namespace cddp
