#include "common/files/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

absl::Status Failure(const std::string& path, const char* what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot ", what));
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failure(folder.string(), "open");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  return fsync(fd) == 0 ? absl::OkStatus() : Failure(folder.string(), "sync");
}

// Opening a FIFO would wait for a reader, and a rename would replace a device by a file.
absl::Status CheckKind(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return errno == ENOENT ? absl::OkStatus() : Failure(path, "look at");
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  const char* kind = S_ISDIR(info.st_mode)    ? "a folder"
                     : S_ISCHR(info.st_mode)  ? "a device"
                     : S_ISBLK(info.st_mode)  ? "a device"
                     : S_ISFIFO(info.st_mode) ? "a pipe"
                     : S_ISLNK(info.st_mode)  ? "a link"
                                              : "a socket";
  return absl::InvalidArgumentError(absl::StrCat(path, ": is ", kind, ": only regular files are replaced"));
}

// The target of a chain of links.
absl::StatusOr<std::string> FollowLinks(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path;
  const std::filesystem::path target = std::filesystem::canonical(path, error);
  if (!error) return target.string();
  return absl::InvalidArgumentError(absl::StrCat(path, ": is a link that leads to no file: ", error.message()));
}

}  // namespace

absl::Status CheckReplaceable(const std::string& path, uint64_t bytes) {
  if (path.empty() || path.back() == '/')
    return absl::InvalidArgumentError(absl::StrCat("'", path, "': names no file"));
  const absl::StatusOr<std::string> target = FollowLinks(path);
  if (!target.ok()) return target.status();
  absl::Status status = CheckKind(*target);
  // The surest test whether a file can be made there is to make one; under a different name, since another process may
  // be writing the real one.
  const std::string probe = absl::StrCat(*target, ".probe");
  if (status.ok()) {
    const absl::Status made = NewFile::Create(probe).status();
    if (!made.ok())
      status = absl::Status(made.code(), absl::StrCat(path, ": no file can be made there (", made.message(), ")"));
  }
  struct statvfs disk;
  if (status.ok() && statvfs(std::filesystem::absolute(*target).parent_path().c_str(), &disk) == 0) {
    const uint64_t room = uint64_t{disk.f_bavail} * disk.f_frsize;
    if (room < bytes) {
      status = absl::InvalidArgumentError(
          absl::StrCat(path, ": the disk has room for ", room, " bytes, but ", bytes, " are to be written"));
    }
  }
  return status.ok() ? status : absl::InvalidArgumentError(status.message());
}

absl::StatusOr<NewFile> NewFile::Create(const std::string& path) {
  if (absl::Status status = CheckKind(path); !status.ok()) return status;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return Failure(path, "create");
  return NewFile(path, fd);
}

NewFile::NewFile(NewFile&& other) noexcept : path_(std::exchange(other.path_, "")), fd_(std::exchange(other.fd_, -1)) {}

NewFile::~NewFile() {
  if (fd_ >= 0) close(fd_);
  if (!path_.empty()) unlink(path_.c_str());
}

absl::Status NewFile::Write(absl::Span<const char> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure(path_, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status NewFile::Sync() { return fsync(fd_) == 0 ? absl::OkStatus() : Failure(path_, "sync"); }

absl::Status NewFile::RenameTo(const std::string& path) {
  if (absl::Status status = CheckKind(path); !status.ok()) return status;
  if (rename(path_.c_str(), path.c_str()) != 0) return Failure(path, "replace");
  path_.clear();
  return SyncFolder(std::filesystem::absolute(path).parent_path());
}

absl::Status ReplaceFile(const std::string& path, absl::Span<const char> bytes) {
  const absl::StatusOr<std::string> target = FollowLinks(path);
  if (!target.ok()) return target.status();
  if (absl::Status status = CheckKind(*target); !status.ok()) return status;
  absl::StatusOr<NewFile> file = NewFile::Create(absl::StrCat(*target, ".new"));
  if (!file.ok()) return file.status();
  if (absl::Status status = file->Write(bytes); !status.ok()) return status;
  if (absl::Status status = file->Sync(); !status.ok()) return status;
  return file->RenameTo(*target);
}

}  // namespace cddp
