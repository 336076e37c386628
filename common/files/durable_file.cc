#include "common/files/durable_file.h"

#include <fcntl.h>
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

}  // namespace

absl::StatusOr<NewFile> NewFile::Create(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
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
  if (rename(path_.c_str(), path.c_str()) != 0) return Failure(path, "replace");
  path_.clear();
  return SyncFolder(std::filesystem::absolute(path).parent_path());
}

absl::Status ReplaceFile(const std::string& path, absl::Span<const char> bytes) {
  absl::StatusOr<NewFile> file = NewFile::Create(absl::StrCat(path, ".new"));
  if (!file.ok()) return file.status();
  if (absl::Status status = file->Write(bytes); !status.ok()) return status;
  if (absl::Status status = file->Sync(); !status.ok()) return status;
  return file->RenameTo(path);
}

}  // namespace cddp
