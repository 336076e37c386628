#include "worker/checkpoint/sent_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/codec/byte_io.h"
#include "common/codec/crc32c.h"
#include "common/log/log.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kSentLogMagic = "CDDPSENT";
constexpr uint32_t kSentLogFormat = 1;

std::string Head(absl::string_view run) {
  std::string head(kSentLogMagic);
  ByteWriter to(&head);
  to.Put<uint32_t>(kSentLogFormat);
  to.PutBytes(run);
  return head;
}

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<SentLog>> SentLog::Open(const std::string& folder, uint32_t rank, const std::string& run,
                                                       uint64_t step) {
  std::unique_ptr<SentLog> log(new SentLog(absl::StrCat(folder, "/worker-", rank, ".sent-"), run));
  if (absl::Status status = log->Read(step); !status.ok()) return status;
  return log;
}

SentLog::~SentLog() {
  if (fd_ >= 0) close(fd_);
}

std::map<uint64_t, std::string> SentLog::Files() const {
  std::map<uint64_t, std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(fs::path(prefix_).parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string path = entry->path().string();
    absl::string_view name = path;
    uint64_t step = 0;
    if (absl::ConsumePrefix(&name, prefix_) && absl::SimpleAtoi(name, &step)) files[step] = path;
  }
  return files;
}

// In order, so that the updates of a later start replace those of an earlier one.
absl::Status SentLog::Read(uint64_t step) {
  std::optional<uint64_t> last;
  for (const auto& [first, path] : Files()) {
    const std::string bytes = ReadWhole(path);
    const uint64_t whole = ReadFile(bytes, step);
    std::error_code error;
    if (whole == 0) {
      fs::remove(path, error);
    } else {
      if (whole < bytes.size()) fs::resize_file(path, whole, error);
      last = first;
    }
    if (error) return absl::InternalError(absl::StrCat(path, ": ", error.message()));
  }
  MutexLock lock(mutex_);
  OpenFile(last.value_or(step));
  return absl::OkStatus();
}

uint64_t SentLog::ReadFile(absl::string_view bytes, uint64_t step) {
  const std::string head = Head(run_);
  if (!absl::StartsWith(bytes, head)) return 0;
  ByteReader from(bytes.substr(head.size()));
  uint64_t whole = head.size();
  while (true) {
    const auto crc = from.Get<uint32_t>();
    const absl::string_view record = from.GetBytes();
    if (!from.ok() || Crc32c(record.data(), record.size()) != crc) return whole;
    whole = bytes.size() - from.left().size();
    ByteReader fields(record);
    const auto at = fields.Get<uint64_t>();
    const auto bucket = fields.Get<uint32_t>();
    if (at >= step) sent_[{at, bucket}] = SharedBytes::Own(std::string(fields.left()));
  }
}

std::optional<SharedBytes> SentLog::Find(uint64_t step, uint32_t bucket) const {
  const auto found = sent_.find({step, bucket});
  return found == sent_.end() ? std::nullopt : std::optional(found->second);
}

void SentLog::Note(uint64_t step, uint32_t bucket, absl::string_view update) {
  std::string head;
  ByteWriter to(&head);
  to.Put<uint64_t>(step);
  to.Put<uint32_t>(bucket);
  std::string record;
  ByteWriter frame(&record);
  frame.Put<uint32_t>(Crc32c(update.data(), update.size(), Crc32c(head.data(), head.size())));
  frame.Put<uint64_t>(head.size() + update.size());
  absl::StrAppend(&record, head, update);
  MutexLock lock(mutex_);
  Write(record);
}

void SentLog::Write(absl::string_view bytes) {
  if (fd_ < 0) return;
  // A file that ends within a record would hide all further records, so none are written.
  const bool fits = bytes_ + bytes.size() <= kMostBytes;
  const bool written = fits && write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  bytes_ += bytes.size();
  if (written) return;
  if (fits && !std::exchange(told_, true)) {
    LogWarning(
        absl::StrCat("event=sent_log_failed file=", prefix_, "* reason=\"", std::strerror(errno),
                     "; if this worker is started again on another kind of processor, its residual may be off\""));
  }
  close(std::exchange(fd_, -1));
}

void SentLog::OpenFile(uint64_t step) {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  const std::string path = absl::StrCat(prefix_, step);
  fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
  const off_t size = fd_ >= 0 ? lseek(fd_, 0, SEEK_END) : 0;
  bytes_ = size > 0 ? static_cast<uint64_t>(size) : 0;
  if (fd_ >= 0 && bytes_ == 0) Write(Head(run_));
}

void SentLog::BeginFile(uint64_t step) {
  MutexLock lock(mutex_);
  OpenFile(step);
}

void SentLog::NoteDurable(uint64_t step) {
  MutexLock lock(mutex_);
  if (durable_.has_value()) RemoveBefore(*durable_);
  durable_ = step;
}

void SentLog::RemoveBefore(uint64_t step) {
  std::error_code error;
  for (const auto& [first, path] : Files()) {
    if (first < step) fs::remove(path, error);
  }
}

}  // namespace cddp
