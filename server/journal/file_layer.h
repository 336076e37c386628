// The system calls of journals and snapshots, as an interface, so that tests can crash, fill and damage it at every
// one.

#ifndef SERVER_JOURNAL_FILE_LAYER_H_
#define SERVER_JOURNAL_FILE_LAYER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cddp {

// A file open for appending. One call at a time. Errors contain the path and the system's message; ResourceExhausted if
// the disk is full.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // Appends the pieces one after the other, as one write. Pieces aligned to the disk's blocks, in memory and in the
  // file, need not be copied to the page cache.
  virtual absl::Status Append(absl::Span<const absl::string_view> pieces) = 0;
  // Returns once everything written would survive a loss of power.
  virtual absl::Status Sync() = 0;
};

// A file that can also be read and truncated, locked against other processes.
class StateFile : public AppendFile {
 public:
  virtual absl::StatusOr<uint64_t> Size() = 0;
  // Exactly `size` bytes from `offset`.
  virtual absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) = 0;
  virtual absl::Status Truncate(uint64_t size) = 0;
  // Writes the bytes in [begin, end) again in place. The kernel reports a failed write-back only once, and counts the
  // data as written from then on. After this call the next Sync guarantees these bytes regardless of the results of
  // earlier syncs, including those of earlier processes. A crash meanwhile changes no byte.
  virtual absl::Status Rewrite(uint64_t begin, uint64_t end) = 0;
};

class FileLayer {
 public:
  virtual ~FileLayer() = default;
  // Creates the folder, if it is missing, and the file. FailedPrecondition if another process holds the file.
  virtual absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& folder, const std::string& name) = 0;
  // Creates a file in an existing folder, or replaces one. For large files that are written once from beginning to end,
  // synced once at the end, and not read soon: it bypasses the page cache.
  virtual absl::StatusOr<std::unique_ptr<AppendFile>> Create(const std::string& folder, const std::string& name) = 0;
  // Opens an existing file for reading only; not locked. NotFound if it is missing.
  virtual absl::StatusOr<std::unique_ptr<StateFile>> OpenForReading(const std::string& folder,
                                                                    const std::string& name) = 0;
  // Names of the files in the folder; none if it is missing.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& folder) = 0;
  // A file of the name `to` is replaced.
  virtual absl::Status Rename(const std::string& folder, const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& folder, const std::string& name) = 0;
  // The same for a file that is not read any more. It removes a large file in pieces: syncs of other files would wait
  // while the file system frees all its blocks at once.
  virtual absl::Status RemoveGently(const std::string& folder, const std::string& name) = 0;
  // Returns once the names of the files in the folder, and its own, would survive a loss of power.
  virtual absl::Status SyncFolder(const std::string& folder) = 0;
};

// The system's own files. Lives as long as the program.
FileLayer& PosixFiles();

}  // namespace cddp

#endif  // SERVER_JOURNAL_FILE_LAYER_H_
