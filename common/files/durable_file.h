// Files that are complete even after a crash: written under another name, synced, and renamed.

#ifndef COMMON_FILES_DURABLE_FILE_H_
#define COMMON_FILES_DURABLE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace cddp {

// Checks at a program's start that it can write a file at `path` at its end, since an error after hours of work comes
// too late. OK if the folder exists and accepts new files, `path` is new or a regular file (or a link to one), and the
// disk has room for `bytes`. InvalidArgument says what is wrong. Leaves no file behind.
absl::Status CheckReplaceable(const std::string& path, uint64_t bytes = 0);

// A new file, written sequentially. Not thread-safe. Errors name the path.
class NewFile {
 public:
  // Creates `path`, or empties it; InvalidArgument if it is neither new nor a regular file.
  static absl::StatusOr<NewFile> Create(const std::string& path);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  // Removes the file if it was not renamed.
  ~NewFile();

  absl::Status Write(absl::Span<const char> bytes);

  // Syncs the file. Its content then survives a loss of power, under the name that the folder holds durably.
  absl::Status Sync();

  // Replaces `path`, which must be in the same folder, and syncs the folder. InvalidArgument if `path` is neither new
  // nor a regular file: renaming would replace a device.
  absl::Status RenameTo(const std::string& path);

 private:
  NewFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;  // empty: renamed, or moved from
  int fd_ = -1;
};

// Replaces the content of `path` by `bytes`: after a crash it holds either the old content or all of the new one. If
// `path` is a link, its target is replaced. InvalidArgument if that is not a regular file.
absl::Status ReplaceFile(const std::string& path, absl::Span<const char> bytes);

}  // namespace cddp

#endif  // COMMON_FILES_DURABLE_FILE_H_
