#include "tests/unit/journal/faulty_files.h"

namespace cddp {

class FaultyFile final : public StateFile {
 public:
  explicit FaultyFile(FaultyFiles* files) : files_(*files) {}

  absl::StatusOr<uint64_t> Size() override {
    std::lock_guard lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    return files_.content_.size();
  }
  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    std::lock_guard lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    if (offset + size > files_.content_.size()) return absl::DataLossError("read beyond the end");
    return files_.content_.substr(offset, size);
  }
  absl::Status Append(absl::string_view bytes) override {
    std::lock_guard lock(files_.mutex_);
    const absl::Status status = files_.Call();
    // A write that fails may have written a part.
    files_.content_.append(bytes.data(), status.ok() ? bytes.size() : bytes.size() / 3);
    return status;
  }
  absl::Status Truncate(uint64_t size) override {
    std::lock_guard lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    files_.content_.resize(size);
    files_.synced_ = std::min<uint64_t>(files_.synced_, size);
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    std::lock_guard lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    files_.synced_ = files_.content_.size();
    return absl::OkStatus();
  }

 private:
  FaultyFiles& files_;
};

absl::StatusOr<std::unique_ptr<StateFile>> FaultyFiles::Open(const std::string&, const std::string&) {
  std::lock_guard lock(mutex_);
  if (absl::Status status = Call(); !status.ok()) return status;
  return std::unique_ptr<StateFile>(std::make_unique<FaultyFile>(this));
}

absl::Status FaultyFiles::SyncFolder(const std::string&) {
  std::lock_guard lock(mutex_);
  return Call();
}

absl::Status FaultyFiles::Call() { return calls_++ >= fail_at_ ? error_ : absl::OkStatus(); }

void FaultyFiles::FailAfter(uint64_t calls, absl::Status error) {
  std::lock_guard lock(mutex_);
  fail_at_ = calls_ + calls;
  error_ = std::move(error);
}

void FaultyFiles::Crash(Kept kept) {
  std::lock_guard lock(mutex_);
  const uint64_t unsynced = content_.size() - synced_;
  if (kept == Kept::kNothing) content_.resize(synced_);
  if (kept == Kept::kHalf) content_.resize(synced_ + unsynced / 2);
  if (kept == Kept::kLengthOnly) content_.replace(synced_, unsynced, unsynced, '\0');
  synced_ = content_.size();
  fail_at_ = std::numeric_limits<uint64_t>::max();
}

uint64_t FaultyFiles::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

std::string FaultyFiles::content() const {
  std::lock_guard lock(mutex_);
  return content_;
}

void FaultyFiles::set_content(std::string content) {
  std::lock_guard lock(mutex_);
  content_ = std::move(content);
  synced_ = content_.size();
}

}  // namespace cddp
