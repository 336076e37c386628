#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/journal/file_layer.h"
#include "server/journal/frame.h"

namespace cddp {
namespace {

absl::Status Failed(int error, absl::string_view what, const std::string& path) {
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": the disk is full; make room, and the server goes on: nothing answered is lost"));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("cannot ", what, " ", path));
}

// Alignment of addresses, offsets and sizes for files that bypass the page cache.
constexpr size_t kAlignment = kFrameAlignment;

// Measured on ext4 with discards: removing a gigabyte at once delays syncs by 70 ms, in these steps by 1 ms.
constexpr off_t kShrinkBytes = off_t{4} << 20;
constexpr absl::Duration kShrinkPause = absl::Milliseconds(2);

constexpr uint64_t kRewriteBytes = uint64_t{1} << 20;

class PosixFile final : public StateFile {
 public:
  // `direct_fd`: the same file, for such writes; -1: there are none.
  PosixFile(int fd, int direct_fd, std::string path) : fd_(fd), direct_fd_(direct_fd), path_(std::move(path)) {}
  ~PosixFile() override {
    if (direct_fd_ >= 0) close(direct_fd_);
    close(fd_);
  }

  absl::StatusOr<uint64_t> Size() override {
    struct stat info;
    if (fstat(fd_, &info) != 0) return Failed(errno, "look at", path_);
    return static_cast<uint64_t>(info.st_size);
  }

  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    std::string bytes(size, '\0');
    for (uint64_t done = 0; done < size;) {
      const ssize_t got = pread(fd_, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failed(errno, "read", path_);
      if (got == 0) return absl::DataLossError(absl::StrCat(path_, ": is shorter than it was a moment ago"));
      done += static_cast<uint64_t>(got);
    }
    return bytes;
  }

  absl::Status Append(absl::Span<const absl::string_view> pieces) override {
    std::vector<iovec> left;
    for (const absl::string_view piece : pieces) {
      if (!piece.empty()) left.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
    for (size_t first = 0; first < left.size();) {
      const auto count = static_cast<int>(std::min<size_t>(left.size() - first, IOV_MAX));
      const bool direct = direct_fd_ >= 0 && std::all_of(left.begin() + first, left.end(), IsAligned);
      ssize_t written = writev(direct ? direct_fd_ : fd_, &left[first], count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno == EINVAL && direct) {  // a disk that needs another alignment
        close(std::exchange(direct_fd_, -1));
        continue;
      }
      if (written < 0) return Failed(errno, "write", path_);
      while (first < left.size() && static_cast<size_t>(written) >= left[first].iov_len) {
        written -= static_cast<ssize_t>(left[first++].iov_len);
      }
      if (written == 0) continue;
      left[first].iov_base = static_cast<char*>(left[first].iov_base) + written;
      left[first].iov_len -= static_cast<size_t>(written);
    }
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) return Failed(errno, "cut", path_);
    return absl::OkStatus();
  }

  absl::Status Rewrite(uint64_t begin, uint64_t end) override {
    const int fd = open(path_.c_str(), O_WRONLY | O_CLOEXEC);  // on fd_ every write goes to the end
    if (fd < 0) return Failed(errno, "open", path_);
    absl::Status status;
    while (begin < end && status.ok()) {
      const absl::StatusOr<std::string> bytes = Read(begin, std::min(end - begin, kRewriteBytes));
      status = bytes.status();
      for (size_t done = 0; status.ok() && done < bytes->size();) {
        const ssize_t some = pwrite(fd, bytes->data() + done, bytes->size() - done, static_cast<off_t>(begin + done));
        if (some < 0 && errno == EINTR) continue;
        if (some < 0) status = Failed(errno, "write", path_);
        if (some > 0) done += static_cast<size_t>(some);
      }
      begin += kRewriteBytes;
    }
    close(fd);
    return status;
  }

  absl::Status Sync() override {
    if (fdatasync(fd_) != 0) return Failed(errno, "sync", path_);
    return absl::OkStatus();
  }

 private:
  static bool IsAligned(const iovec& piece) {
    return reinterpret_cast<uintptr_t>(piece.iov_base) % kAlignment == 0 && piece.iov_len % kAlignment == 0;
  }

  const int fd_;
  int direct_fd_;
  const std::string path_;
};

// A file that bypasses the page cache, where the file system allows it: a snapshot is as large as the state, and
// copying it costs more than all other work for it.
class DirectFile final : public AppendFile {
 public:
  DirectFile(int fd, std::string path)
      : fd_(fd),
        path_(std::move(path)),
        buffer_(static_cast<char*>(::operator new (kBufferBytes, std::align_val_t{kAlignment}))) {}
  ~DirectFile() override {
    ::operator delete (buffer_, std::align_val_t{kAlignment});
    close(fd_);
  }

  absl::Status Append(absl::Span<const absl::string_view> pieces) override {
    for (absl::string_view piece : pieces) {
      while (!piece.empty()) {
        const size_t some = std::min(piece.size(), kBufferBytes - filled_);
        std::memcpy(buffer_ + filled_, piece.data(), some);
        filled_ += some;
        piece.remove_prefix(some);
        if (filled_ < kBufferBytes) continue;
        if (absl::Status status = WriteBuffer(); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    const uint64_t size = written_ + filled_;
    std::memset(buffer_ + filled_, 0, kBufferBytes - filled_);
    filled_ = (filled_ + kAlignment - 1) / kAlignment * kAlignment;
    if (absl::Status status = WriteBuffer(); !status.ok()) return status;
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) return Failed(errno, "cut", path_);
    if (fdatasync(fd_) != 0) return Failed(errno, "sync", path_);
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kBufferBytes = size_t{1} << 20;

  absl::Status WriteBuffer() {
    for (size_t done = 0; done < filled_;) {
      const ssize_t some = pwrite(fd_, buffer_ + done, filled_ - done, static_cast<off_t>(written_ + done));
      if (some < 0 && errno == EINTR) continue;
      if (some < 0 && errno == EINVAL && StopBeingDirect()) continue;
      if (some < 0) return Failed(errno, "write", path_);
      done += static_cast<size_t>(some);
    }
    written_ += std::exchange(filled_, 0);
    return absl::OkStatus();
  }

  // For disks that need another alignment, also after a partial write. False if it was not direct.
  bool StopBeingDirect() {
    const int flags = fcntl(fd_, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) != 0 && fcntl(fd_, F_SETFL, flags & ~O_DIRECT) == 0;
  }

  const int fd_;
  const std::string path_;
  char* const buffer_;
  size_t filled_ = 0;
  uint64_t written_ = 0;
};

class PosixLayer final : public FileLayer {
 public:
  absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& folder, const std::string& name) override {
    if (absl::Status status = MakeFolder(folder); !status.ok()) return status;
    const std::string path = absl::StrCat(folder, "/", name);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return Failed(errno, "open", path);
    const int direct_fd = open(path.c_str(), O_WRONLY | O_APPEND | O_DIRECT | O_CLOEXEC);
    auto file = std::make_unique<PosixFile>(fd, direct_fd, path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return Failed(errno, "lock", path);
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": another server uses it; every server needs a --state_dir of its own"));
    }
    return std::unique_ptr<StateFile>(std::move(file));
  }

  absl::StatusOr<std::unique_ptr<AppendFile>> Create(const std::string& folder, const std::string& name) override {
    const std::string path = absl::StrCat(folder, "/", name);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int fd = open(path.c_str(), kFlags | O_DIRECT, 0644);
    if (fd < 0 && errno == EINVAL) fd = open(path.c_str(), kFlags, 0644);
    if (fd < 0) return Failed(errno, "create", path);
    return std::unique_ptr<AppendFile>(std::make_unique<DirectFile>(fd, path));
  }

  absl::StatusOr<std::unique_ptr<StateFile>> OpenForReading(const std::string& folder,
                                                            const std::string& name) override {
    const std::string path = absl::StrCat(folder, "/", name);
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Failed(errno, "open", path);
    return std::unique_ptr<StateFile>(std::make_unique<PosixFile>(fd, -1, path));
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      names.push_back(entry->path().filename());
    }
    if (error && error.value() != ENOENT) return Failed(error.value(), "list", folder);
    return names;
  }

  absl::Status Rename(const std::string& folder, const std::string& from, const std::string& to) override {
    const std::string path = absl::StrCat(folder, "/", to);
    if (rename(absl::StrCat(folder, "/", from).c_str(), path.c_str()) != 0) return Failed(errno, "replace", path);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& folder, const std::string& name) override {
    const std::string path = absl::StrCat(folder, "/", name);
    if (unlink(path.c_str()) != 0) return Failed(errno, "remove", path);
    return absl::OkStatus();
  }

  absl::Status RemoveGently(const std::string& folder, const std::string& name) override {
    const int fd = open(absl::StrCat(folder, "/", name).c_str(), O_WRONLY | O_CLOEXEC);
    const absl::Status status = Remove(folder, name);
    if (fd < 0) return status;
    struct stat info;
    if (status.ok() && fstat(fd, &info) == 0 && info.st_nlink == 0) {  // it has no other name
      // At best: what is left of it when it is closed goes at once.
      for (off_t left = info.st_size; left > kShrinkBytes && ftruncate(fd, left -= kShrinkBytes) == 0;) {
        absl::SleepFor(kShrinkPause);
      }
    }
    close(fd);
    return status;
  }

  absl::Status SyncFolder(const std::string& folder) override {
    for (const std::string& path : {folder, absl::StrCat(folder, "/..")}) {
      const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd < 0) return Failed(errno, "open", path);
      const int failed = fsync(fd) != 0 ? errno : 0;
      close(fd);
      if (failed != 0) return Failed(failed, "sync", path);
    }
    return absl::OkStatus();
  }

 private:
  // Creates the folder and its missing parents durably: each is synced through the folder that contains it.
  absl::Status MakeFolder(const std::string& folder) {
    std::vector<std::string> holders;
    std::error_code error;
    for (std::filesystem::path path = std::filesystem::absolute(folder); !std::filesystem::exists(path, error);
         path = path.parent_path()) {
      holders.push_back(path.parent_path());
    }
    std::filesystem::create_directories(folder, error);
    if (error) return Failed(error.value(), "make the folder", folder);
    for (const std::string& holder : holders) {
      if (absl::Status status = SyncFolder(holder); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
};

}  // namespace

FileLayer& PosixFiles() {
  static auto* layer = new PosixLayer;
  return *layer;
}

}  // namespace cddp
