#include "tests/unit/journal/faulty_files.h"

#include <algorithm>
#include <utility>

namespace cddp {

class FaultyFile final : public StateFile {
 public:
  FaultyFile(FaultyFiles* files, std::string name, std::shared_ptr<FaultyFiles::Content> content)
      : files_(*files), name_(std::move(name)), content_(std::move(content)) {}

  absl::StatusOr<uint64_t> Size() override {
    MutexLock lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    return content_->bytes.size();
  }
  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    MutexLock lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    if (offset + size > content_->bytes.size()) return absl::DataLossError("read beyond the end");
    return content_->bytes.substr(offset, size);
  }
  absl::Status Append(absl::Span<const absl::string_view> pieces) override {
    std::string bytes;
    for (const absl::string_view piece : pieces) bytes.append(piece.begin(), piece.end());
    files_.CallHook(name_);
    MutexLock lock(files_.mutex_);
    const absl::Status status = files_.Call();
    content_->bytes.append(bytes, 0, status.ok() ? bytes.size() : bytes.size() / 3);
    return status;
  }
  absl::Status Truncate(uint64_t size) override {
    MutexLock lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    content_->bytes.resize(size);
    content_->synced = std::min(content_->synced, size);
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    MutexLock lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    const std::pair<uint64_t, uint64_t> unsynced = {content_->synced, content_->bytes.size()};
    content_->synced = unsynced.second;
    if (absl::Status error = std::exchange(files_.sync_error_, {}); !error.ok()) {
      content_->lost = unsynced;
      return error;
    }
    content_->lost_once = {};
    return absl::OkStatus();
  }
  absl::Status Rewrite(uint64_t begin, uint64_t end) override {
    MutexLock lock(files_.mutex_);
    if (absl::Status status = files_.Call(); !status.ok()) return status;
    if (begin <= content_->lost.first && end >= content_->lost.second) {
      content_->lost_once = std::exchange(content_->lost, {});
    }
    return absl::OkStatus();
  }

 private:
  FaultyFiles& files_;
  const std::string name_;
  const std::shared_ptr<FaultyFiles::Content> content_;
};

absl::StatusOr<std::unique_ptr<StateFile>> FaultyFiles::Open(const std::string&, const std::string& name) {
  MutexLock lock(mutex_);
  if (absl::Status refusal = std::exchange(refusal_, {}); !refusal.ok()) return refusal;
  const absl::Status status = Call();
  std::shared_ptr<Content>& content = names_[name];
  if (content == nullptr) content = std::make_shared<Content>();
  if (!status.ok()) return status;
  return std::unique_ptr<StateFile>(std::make_unique<FaultyFile>(this, name, content));
}

absl::StatusOr<std::unique_ptr<AppendFile>> FaultyFiles::Create(const std::string& folder, const std::string& name) {
  absl::StatusOr<std::unique_ptr<StateFile>> file = Open(folder, name);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Truncate(0); !status.ok()) return status;
  return *std::move(file);
}

absl::StatusOr<std::unique_ptr<StateFile>> FaultyFiles::OpenForReading(const std::string&, const std::string& name) {
  MutexLock lock(mutex_);
  if (absl::Status status = Call(); !status.ok()) return status;
  const auto file = names_.find(name);
  if (file == names_.end()) return absl::NotFoundError(name);
  return std::unique_ptr<StateFile>(std::make_unique<FaultyFile>(this, name, file->second));
}

absl::StatusOr<std::vector<std::string>> FaultyFiles::List(const std::string&) {
  MutexLock lock(mutex_);
  if (absl::Status status = Call(); !status.ok()) return status;
  std::vector<std::string> names;
  for (const auto& [name, content] : names_) names.push_back(name);
  return names;
}

absl::Status FaultyFiles::Rename(const std::string&, const std::string& from, const std::string& to) {
  MutexLock lock(mutex_);
  if (absl::Status status = Call(); !status.ok()) return status;
  const auto file = names_.find(from);
  if (file == names_.end()) return absl::NotFoundError(from);
  names_[to] = file->second;
  names_.erase(file);
  return absl::OkStatus();
}

absl::Status FaultyFiles::Remove(const std::string&, const std::string& name) {
  MutexLock lock(mutex_);
  if (absl::Status status = Call(); !status.ok()) return status;
  return names_.erase(name) == 1 ? absl::OkStatus() : absl::NotFoundError(name);
}

absl::Status FaultyFiles::SyncFolder(const std::string&) {
  MutexLock lock(mutex_);
  if (absl::Status status = Call(); !status.ok()) return status;
  synced_names_ = names_;
  return absl::OkStatus();
}

absl::Status FaultyFiles::Call() {
  const uint64_t call = calls_++;
  return call >= fail_at_ && call < fail_until_ ? error_ : absl::OkStatus();
}

void FaultyFiles::FailNextSync(absl::Status error) {
  MutexLock lock(mutex_);
  sync_error_ = std::move(error);
}

void FaultyFiles::RefuseOpen(absl::Status error) {
  MutexLock lock(mutex_);
  refusal_ = std::move(error);
}

void FaultyFiles::BeforeAppend(std::string prefix, std::function<void()> hook) {
  MutexLock lock(mutex_);
  hooked_ = std::move(prefix);
  hook_ = std::move(hook);
}

void FaultyFiles::CallHook(const std::string& name) {
  std::function<void()> hook;
  {
    MutexLock lock(mutex_);
    if (hook_ != nullptr && name.compare(0, hooked_.size(), hooked_) == 0) hook = hook_;
  }
  if (hook != nullptr) hook();
}

void FaultyFiles::FailOnce(uint64_t calls, absl::Status error) {
  FailAfter(calls, std::move(error));
  MutexLock lock(mutex_);
  fail_until_ = fail_at_ + 1;
}

void FaultyFiles::FailAfter(uint64_t calls, absl::Status error) {
  MutexLock lock(mutex_);
  fail_at_ = calls_ + calls;
  fail_until_ = std::numeric_limits<uint64_t>::max();
  error_ = std::move(error);
}

void FaultyFiles::Crash(Kept kept) {
  MutexLock lock(mutex_);
  if (kept == Kept::kNothing || kept == Kept::kHalf) names_ = synced_names_;
  synced_names_ = names_;
  for (const auto& [name, content] : names_) {
    const uint64_t unsynced = content->bytes.size() - content->synced;
    if (kept == Kept::kNothing) content->bytes.resize(content->synced);
    if (kept == Kept::kHalf) content->bytes.resize(content->synced + unsynced / 2);
    if (kept == Kept::kLengthOnly) content->bytes.replace(content->synced, unsynced, unsynced, '\0');
    content->synced = content->bytes.size();
    for (std::pair<uint64_t, uint64_t>* lost : {&content->lost, &content->lost_once}) {
      const auto [begin, end] = std::exchange(*lost, {});
      content->bytes.replace(begin, end - begin, end - begin, '\0');
    }
  }
  fail_at_ = std::numeric_limits<uint64_t>::max();
}

uint64_t FaultyFiles::calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

std::map<std::string, std::string> FaultyFiles::contents() const {
  MutexLock lock(mutex_);
  std::map<std::string, std::string> contents;
  for (const auto& [name, content] : names_) contents[name] = content->bytes;
  return contents;
}

void FaultyFiles::set_contents(const std::map<std::string, std::string>& contents) {
  MutexLock lock(mutex_);
  names_.clear();
  for (const auto& [name, bytes] : contents)
    names_[name] = std::make_shared<Content>(Content{bytes, bytes.size(), {}, {}});
  synced_names_ = names_;
}

}  // namespace cddp
