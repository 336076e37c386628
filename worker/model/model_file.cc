#include "worker/model/model_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

absl::Status Failure(const std::string& path, const char* what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot ", what));
}

absl::Status WriteAll(int fd, absl::Span<const char> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Failure(path, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::filesystem::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failure(folder.string(), "open");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  return fsync(fd) == 0 ? absl::OkStatus() : Failure(folder.string(), "sync");
}

}  // namespace

absl::Status ReplaceFile(const std::string& path, absl::Span<const char> bytes) {
  const std::string temporary = absl::StrCat(path, ".new");
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return Failure(temporary, "create");
  absl::Status status = WriteAll(fd, bytes, temporary);
  if (status.ok() && fsync(fd) != 0) status = Failure(temporary, "sync");
  if (close(fd) != 0) status.Update(Failure(temporary, "close"));
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = Failure(path, "replace");
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(std::filesystem::absolute(path).parent_path());
}

}  // namespace cddp
