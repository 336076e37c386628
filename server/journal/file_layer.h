// What journals and snapshots ask of the system, so that tests can crash, fill and damage it at every call.

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

// A file open for appending. One call at a time. Errors name the path and what the system said; ResourceExhausted if
// the disk is full.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  // The pieces one after the other, as one write. Pieces that lie on blocks of the disk, in memory as in the file, need
  // not be copied to the system's memory.
  virtual absl::Status Append(absl::Span<const absl::string_view> pieces) = 0;
  // Returns once all that was written would survive a loss of power.
  virtual absl::Status Sync() = 0;
};

// One that can be read and cut as well, locked against other processes.
class StateFile : public AppendFile {
 public:
  virtual absl::StatusOr<uint64_t> Size() = 0;
  // Exactly `size` bytes from `offset`.
  virtual absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) = 0;
  virtual absl::Status Truncate(uint64_t size) = 0;
  // Writes the bytes in [begin, end) once more where they are. The kernel reports only once that it could not write
  // something, and takes it for written from then on: after this call the next Sync vouches for these bytes whatever
  // became of earlier syncs, those of processes before this one included. A crash meanwhile changes no byte.
  virtual absl::Status Rewrite(uint64_t begin, uint64_t end) = 0;
};

class FileLayer {
 public:
  virtual ~FileLayer() = default;
  // Creates the folder, if it is missing, and the file. FailedPrecondition if another process holds the file.
  virtual absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& folder, const std::string& name) = 0;
  // A new file in a folder that is there, in place of one of that name. Large, written once from beginning to end,
  // synced once at its end, and not read soon: the system's memory is not filled with it.
  virtual absl::StatusOr<std::unique_ptr<AppendFile>> Create(const std::string& folder, const std::string& name) = 0;
  // A file that is there, for reading alone; not locked. NotFound if it is missing.
  virtual absl::StatusOr<std::unique_ptr<StateFile>> OpenForReading(const std::string& folder,
                                                                    const std::string& name) = 0;
  // Names of the files in the folder; none if it is missing.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& folder) = 0;
  // A file of the name `to` is replaced.
  virtual absl::Status Rename(const std::string& folder, const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& folder, const std::string& name) = 0;
  // The same for a file that nobody reads any more. Takes its time if it is large: syncs of other files would wait
  // while the file system takes all its blocks back at once.
  virtual absl::Status RemoveGently(const std::string& folder, const std::string& name) = 0;
  // Returns once the names of the files in the folder, and its own, would survive a loss of power.
  virtual absl::Status SyncFolder(const std::string& folder) = 0;
};

// The system's own files. Lives as long as the program.
FileLayer& PosixFiles();

}  // namespace cddp

#endif  // SERVER_JOURNAL_FILE_LAYER_H_
