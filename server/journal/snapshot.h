// A state in one file (segment.h): a start reads it before the journal's segments or, as a checkpoint, instead of them.
// It is written under another name, synced, and renamed: a file with its final name is complete.

#ifndef SERVER_JOURNAL_SNAPSHOT_H_
#define SERVER_JOURNAL_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/bytes/shared_bytes.h"
#include "server/journal/file_layer.h"
#include "server/journal/frame.h"
#include "server/journal/segment.h"

namespace cddp {

// Not thread-safe.
class SnapshotWriter {
 public:
  // Begins `name` in `folder`; an unfinished file of an earlier try is replaced. Errors name the file.
  static absl::StatusOr<std::unique_ptr<SnapshotWriter>> Create(FileLayer* files, const std::string& folder,
                                                                const std::string& name, const SegmentHead& segment);
  // Removes the file if it was not committed.
  ~SnapshotWriter();

  // Adds an event, `head` followed by `tail`; its first byte must not be a tag of segment.h.
  absl::Status Add(absl::string_view head, absl::string_view tail);

  // Returns once the whole file would survive a loss of power.
  absl::Status Commit();

  uint64_t bytes() const { return bytes_; }

 private:
  SnapshotWriter(FileLayer* files, std::string folder, std::string name, std::unique_ptr<AppendFile> file)
      : files_(*files), folder_(std::move(folder)), name_(std::move(name)), file_(std::move(file)) {}

  FileLayer& files_;
  const std::string folder_;
  const std::string name_;
  std::unique_ptr<AppendFile> file_;
  uint64_t frames_ = 0;
  uint64_t bytes_ = 0;
  bool committed_ = false;
};

// Not thread-safe.
class SnapshotReader {
 public:
  // NotFound if there is no such file; otherwise as Next.
  static absl::StatusOr<std::unique_ptr<SnapshotReader>> Open(FileLayer& files, const std::string& folder,
                                                              const std::string& name);

  const SegmentHead& segment() const { return segment_; }

  // The first event, and so on; false at the end. DataLoss if the file is damaged or not whole, FailedPrecondition if
  // it is of another format; both name the file.
  absl::StatusOr<bool> Next(SharedBytes* event);

  // The status of processing an event, with the file's name.
  absl::Status InFile(const absl::Status& status) const;

 private:
  SnapshotReader(std::string path, std::unique_ptr<StateFile> file)
      : path_(std::move(path)), file_(std::move(file)), reader_(file_.get()) {}
  // The next frame's payload.
  absl::StatusOr<SharedBytes> NextFrame();

  const std::string path_;
  const std::unique_ptr<StateFile> file_;
  FrameReader reader_;
  SegmentHead segment_;
};

}  // namespace cddp

#endif  // SERVER_JOURNAL_SNAPSHOT_H_
