#include "server/journal/snapshot.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/journal/frame.h"
#include "server/journal/state_folder.h"

namespace cddp {
namespace {

absl::Status InFile(const absl::Status& status, const std::string& folder, const std::string& name) {
  return absl::Status(status.code(), absl::StrCat(folder, "/", name, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Create(FileLayer* files, const std::string& folder,
                                                                       const std::string& name,
                                                                       const SegmentEvent& segment,
                                                                       const BeginEvent& begin) {
  absl::StatusOr<std::unique_ptr<StateFile>> file = files->Open(folder, absl::StrCat(name, kNewSuffix));
  if (!file.ok()) return file.status();
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(files, folder, name, *std::move(file)));
  if (absl::Status status = writer->file_->Truncate(0); !status.ok()) return status;
  absl::Status status = writer->Add(segment);
  if (status.ok()) status = writer->Add(begin);
  if (!status.ok()) return status;
  return writer;
}

SnapshotWriter::~SnapshotWriter() {
  // If it stays after all, the next try or start takes care of it.
  if (!committed_) files_.Remove(folder_, absl::StrCat(name_, kNewSuffix)).IgnoreError();
}

absl::Status SnapshotWriter::Add(const JournalEvent& event) {
  frame_.clear();
  AppendEvent(event, &frame_);
  absl::Status status = file_->Append(FrameHeader(frames_++, frame_));
  frame_.push_back(kFrameEnd);
  if (status.ok()) status = file_->Append(frame_);
  bytes_ += kFrameHeaderBytes + frame_.size();
  return status;
}

absl::Status SnapshotWriter::Commit() {
  absl::Status status = Add(EndEvent{});
  if (status.ok()) status = file_->Sync();
  if (status.ok()) status = files_.Rename(folder_, absl::StrCat(name_, kNewSuffix), name_);
  if (!status.ok()) return status;
  committed_ = true;
  return files_.SyncFolder(folder_);
}

absl::StatusOr<SegmentEvent> ReadSnapshot(FileLayer& files, const std::string& folder, const std::string& name,
                                          const TakeSnapshotEvent& take) {
  absl::StatusOr<std::vector<std::string>> names = files.List(folder);
  if (!names.ok()) return names.status();
  if (std::find(names->begin(), names->end(), name) == names->end()) {
    return absl::NotFoundError(absl::StrCat(folder, "/", name, ": there is no such file"));
  }
  absl::StatusOr<std::unique_ptr<StateFile>> file = files.Open(folder, name);
  if (!file.ok()) return file.status();
  FrameReader reader(file->get());
  SegmentEvent segment;
  while (true) {
    absl::StatusOr<std::shared_ptr<const std::string>> frame = reader.Next();
    if (!frame.ok()) return InFile(frame.status(), folder, name);
    if (*frame == nullptr) {
      return InFile(absl::DataLossError("is damaged: its end is missing; restore it from a copy"), folder, name);
    }
    absl::string_view bytes = **frame;
    JournalEvent event;
    if (absl::Status status = TakeEvent(&bytes, &event); !status.ok()) return InFile(status, folder, name);
    const bool first = reader.frames() == 1;
    if (first != std::holds_alternative<SegmentEvent>(event) || !bytes.empty()) {
      return InFile(absl::DataLossError("is damaged: its events are not a snapshot's"), folder, name);
    }
    if (first) {
      segment = std::get<SegmentEvent>(event);
    } else if (std::holds_alternative<EndEvent>(event)) {
      return segment;
    } else if (absl::Status status = take(event, *frame); !status.ok()) {
      return InFile(status, folder, name);
    }
  }
}

}  // namespace cddp
