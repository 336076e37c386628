// A small file that may be replaced while we run (tokens, certificates).

#ifndef COMMON_TRANSPORT_WATCHED_FILE_H_
#define COMMON_TRANSPORT_WATCHED_FILE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cddp {

// The text of a file. NotFound if it cannot be read, InvalidArgument if it is larger than 1 MiB.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

// Not thread-safe.
class WatchedFile {
 public:
  explicit WatchedFile(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  // Whether the file has changed since the last call that returned true; true in the first call. It checks at most once
  // a second, so that it may be called often; a missing file (being replaced) counts as unchanged.
  bool Changed();

 private:
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    timespec modified = {};
  };
  const std::string path_;
  Stamp stamp_;
  absl::Duration looked_ = -absl::InfiniteDuration();  // by MonotonicNow
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_WATCHED_FILE_H_
