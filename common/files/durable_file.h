// Files that are whole whatever happens: written under another name, synced, and renamed.

#ifndef COMMON_FILES_DURABLE_FILE_H_
#define COMMON_FILES_DURABLE_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace cddp {

// May a file be written at `path` in the end? OK if its folder exists and takes new files, `path` is new or a regular
// file (or a link to one), and the disk has room for `bytes`. InvalidArgument says what is wrong. For the start of a
// program: what is found only after hours of work was found too late. Leaves nothing behind.
absl::Status CheckReplaceable(const std::string& path, uint64_t bytes = 0);

// A new file, written from its beginning to its end. Not thread-safe. Errors name the path.
class NewFile {
 public:
  // Creates `path`, or empties it; InvalidArgument if it is neither new nor a regular file.
  static absl::StatusOr<NewFile> Create(const std::string& path);
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  // Removes the file if it was not renamed.
  ~NewFile();

  absl::Status Write(absl::Span<const char> bytes);

  // Syncs the file. It survives a loss of power from then on, under whatever name the folder holds durably.
  absl::Status Sync();

  // Replaces `path`, which is of the same folder, and syncs the folder. InvalidArgument if `path` is neither new nor a
  // regular file: renaming would replace a device.
  absl::Status RenameTo(const std::string& path);

 private:
  NewFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;  // empty: renamed, or moved from
  int fd_ = -1;
};

// Replaces `path` by `bytes`: after a crash it holds either its old content or all of the new one. Where `path` is a
// link, the file that it leads to is replaced. InvalidArgument if that is not a regular file.
absl::Status ReplaceFile(const std::string& path, absl::Span<const char> bytes);

}  // namespace cddp

#endif  // COMMON_FILES_DURABLE_FILE_H_
