#include "server/journal/snapshot.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/journal/frame.h"
#include "server/journal/state_folder.h"

namespace cddp {
absl::StatusOr<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Create(FileLayer* files, const std::string& folder,
                                                                       const std::string& name,
                                                                       const SegmentHead& segment) {
  absl::StatusOr<std::unique_ptr<AppendFile>> file = files->Create(folder, absl::StrCat(name, kNewSuffix));
  if (!file.ok()) return file.status();
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(files, folder, name, *std::move(file)));
  if (absl::Status status = writer->Add(ToBytes(segment), ""); !status.ok()) return status;
  return writer;
}

SnapshotWriter::~SnapshotWriter() {
  // If this fails, the next try or start removes it.
  if (!committed_) files_.Remove(folder_, absl::StrCat(name_, kNewSuffix)).IgnoreError();
}

absl::Status SnapshotWriter::Add(absl::string_view head, absl::string_view tail) {
  return AppendFrame(*file_, frames_++, {head, tail}, &bytes_);
}

absl::Status SnapshotWriter::Commit() {
  absl::Status status = Add(std::string(1, static_cast<char>(kSnapshotEndTag)), "");
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
  const absl::StatusOr<SharedBytes> first = reader->NextFrame();
  if (!first.ok()) return first.status();
  absl::string_view bytes = first->view();
  if (absl::Status status = TakeSegmentHead(&bytes, &reader->segment_); !status.ok()) return reader->InFile(status);
  if (!bytes.empty()) return reader->InFile(absl::DataLossError("is damaged: its events are not a snapshot's"));
  return reader;
}

absl::Status SnapshotReader::InFile(const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrCat(path_, ": ", status.message()));
}

absl::StatusOr<SharedBytes> SnapshotReader::NextFrame() {
  const absl::StatusOr<std::shared_ptr<const std::string>> frame = reader_.Next();
  if (!frame.ok()) return InFile(frame.status());
  if (*frame == nullptr || (*frame)->empty()) {
    return InFile(absl::DataLossError("is damaged: its end is missing; restore it from a copy"));
  }
  return SharedBytes(*frame, **frame);
}

absl::StatusOr<bool> SnapshotReader::Next(SharedBytes* event) {
  absl::StatusOr<SharedBytes> frame = NextFrame();
  if (!frame.ok()) return frame.status();
  *event = *std::move(frame);
  const auto tag = static_cast<uint8_t>(event->view().front());
  if (tag == kSegmentHeadTag || (tag == kSnapshotEndTag && event->size() > 1)) {
    return InFile(absl::DataLossError("is damaged: its events are not a snapshot's"));
  }
  return tag != kSnapshotEndTag;
}

}  // namespace cddp
