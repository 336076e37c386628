#include "server/journal/snapshot.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/journal/frame.h"
#include "server/journal/state_folder.h"

namespace cddp {
absl::StatusOr<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Create(FileLayer* files, const std::string& folder,
                                                                       const std::string& name,
                                                                       const SegmentEvent& segment,
                                                                       const BeginEvent& begin) {
  absl::StatusOr<std::unique_ptr<AppendFile>> file = files->Create(folder, absl::StrCat(name, kNewSuffix));
  if (!file.ok()) return file.status();
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(files, folder, name, *std::move(file)));
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
  std::string head;
  const absl::string_view tail = AppendEventHead(event, &head);
  return AppendFrame(*file_, frames_++, {head, tail}, &bytes_);
}

absl::Status SnapshotWriter::Commit() {
  absl::Status status = Add(EndEvent{});
  if (status.ok()) status = file_->Sync();
  if (status.ok()) status = files_.Rename(folder_, absl::StrCat(name_, kNewSuffix), name_);
  if (!status.ok()) return status;
  committed_ = true;
  return files_.SyncFolder(folder_);
}

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotReader::Open(FileLayer& files, const std::string& folder,
                                                                     const std::string& name) {
  const std::string path = absl::StrCat(folder, "/", name);
  absl::StatusOr<std::unique_ptr<StateFile>> file = files.OpenForReading(folder, name);
  if (!file.ok()) return file.status();
  std::unique_ptr<SnapshotReader> reader(new SnapshotReader(path, *std::move(file)));
  JournalEvent event;
  if (absl::StatusOr<bool> next = reader->Next(&event); !next.ok()) return next.status();
  reader->segment_ = std::get<SegmentEvent>(event);
  return reader;
}

absl::Status SnapshotReader::InFile(const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrCat(path_, ": ", status.message()));
}

absl::StatusOr<bool> SnapshotReader::Next(JournalEvent* event) {
  absl::StatusOr<std::shared_ptr<const std::string>> frame = reader_.Next();
  if (!frame.ok()) return InFile(frame.status());
  if (*frame == nullptr) {
    return InFile(absl::DataLossError("is damaged: its end is missing; restore it from a copy"));
  }
  frame_ = *std::move(frame);
  absl::string_view bytes = *frame_;
  if (absl::Status status = TakeEvent(&bytes, event); !status.ok()) return InFile(status);
  if ((reader_.frames() == 1) != std::holds_alternative<SegmentEvent>(*event) || !bytes.empty()) {
    return InFile(absl::DataLossError("is damaged: its events are not a snapshot's"));
  }
  return !std::holds_alternative<EndEvent>(*event);
}

}  // namespace cddp
