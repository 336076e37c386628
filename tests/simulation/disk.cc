#include "tests/simulation/disk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/journal/frame.h"

namespace cddp::simulation {
namespace {

absl::Status Dead() { return absl::UnavailableError("the process is dead"); }
absl::Status Full(const std::string& name) { return absl::ResourceExhaustedError(absl::StrCat(name, ": disk full")); }

}  // namespace

absl::Status Disk::Take(Process* process, absl::Duration time) {
  Kernel& kernel = Kernel::Get();
  if (process->dead) return Dead();
  if (!kernel.in_fiber()) return absl::OkStatus();
  if (still_until_ > kernel.Now()) time += still_until_ - kernel.Now();
  const bool alive = kernel.SleepAlive(time);
  return alive ? absl::OkStatus() : Dead();
}

void Disk::Begin(Operation operation) {
  if (operation != awaited_ || then_ == nullptr) return;
  std::exchange(then_, nullptr)();
}

// A file as one process has it open.
class OpenFile final : public StateFile {
 public:
  OpenFile(Disk* disk, Process* process, std::string name, std::shared_ptr<Disk::Content> content, bool locks)
      : disk_(*disk),
        process_(process),
        name_(std::move(name)),
        content_(std::move(content)),
        locks_(locks),
        boot_(disk->boots_) {
    if (locks_) content_->owner = process_;
  }
  ~OpenFile() override {
    if (locks_ && content_->owner == process_) content_->owner = nullptr;
  }

  absl::Status Append(absl::Span<const absl::string_view> pieces) override {
    // What has been handed over may be written, in part, when the process dies.
    std::string all;
    for (const absl::string_view piece : pieces) all.append(piece.data(), piece.size());
    disk_.Begin(Disk::Operation::kAppend);
    absl::Status status = disk_.Take(process_, disk_.random_.Between(absl::Microseconds(10), absl::Microseconds(200)));
    if (status.ok() && disk_.full_) status = Full(name_);
    if (!status.ok()) all.resize(disk_.random_.Chance(0.5) ? 0 : disk_.random_.Below(all.size()));
    // Lost with the machine's memory, or others go on with the file.
    if (disk_.boots_ != boot_ || (process_->dead && content_->owner != process_)) return status;
    content_->bytes += all;
    return status;
  }

  absl::Status Sync() override {
    disk_.Begin(Disk::Operation::kSync);
    const uint64_t size = content_->bytes.size();
    const absl::Duration time = disk_.sync_time_ * (0.5 + static_cast<double>(disk_.random_.Below(1000)) / 1000);
    if (absl::Status status = disk_.Take(process_, time); !status.ok()) return status;
    if (std::exchange(disk_.fail_sync_, false)) {
      // The kernel takes the pages for written from now on.
      content_->failed.emplace_back(content_->synced, size);
      content_->failed.insert(content_->failed.end(), content_->again.begin(), content_->again.end());
      content_->again.clear();
      return absl::UnknownError(absl::StrCat(name_, ": input/output error"));
    }
    content_->again.clear();
    content_->synced = std::max(content_->synced, std::min<uint64_t>(size, content_->bytes.size()));
    content_->cut.clear();
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() override { return content_->bytes.size(); }

  absl::StatusOr<std::string> Read(uint64_t offset, uint64_t size) override {
    if (absl::Status status = disk_.Take(process_, absl::Microseconds(5)); !status.ok()) return status;
    if (offset + size > content_->bytes.size()) return absl::DataLossError(absl::StrCat(name_, ": is too short"));
    return content_->bytes.substr(offset, size);
  }

  absl::Status Truncate(uint64_t size) override {
    if (absl::Status status = disk_.Take(process_, absl::Microseconds(20)); !status.ok()) return status;
    if (size >= content_->bytes.size()) return absl::OkStatus();
    if (size < content_->synced) {
      content_->cut = content_->bytes.substr(size, content_->synced - size);
      content_->synced = size;
    }
    content_->bytes.resize(size);
    for (auto* ranges : {&content_->failed, &content_->again}) {  // what is written there later is new
      for (auto& [begin, end] : *ranges) end = std::min(end, size);
    }
    return absl::OkStatus();
  }

  absl::Status Rewrite(uint64_t begin, uint64_t end) override {
    if (absl::Status status = disk_.Take(process_, absl::Microseconds(20)); !status.ok()) return status;
    const auto failed = std::exchange(content_->failed, {});
    for (const auto& [from, to] : failed) {
      if (from < std::min(to, begin)) content_->failed.emplace_back(from, std::min(to, begin));
      if (std::max(from, begin) < std::min(to, end)) {
        content_->again.emplace_back(std::max(from, begin), std::min(to, end));
      }
      if (std::max(from, end) < to) content_->failed.emplace_back(std::max(from, end), to);
    }
    return absl::OkStatus();
  }

 private:
  Disk& disk_;
  Process* const process_;
  const std::string name_;
  const std::shared_ptr<Disk::Content> content_;
  const bool locks_;
  const uint64_t boot_;
};

class MountedFiles final : public FileLayer {
 public:
  MountedFiles(Disk* disk, Process* process) : disk_(*disk), process_(process) {}

  absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& folder, const std::string& name) override {
    if (absl::Status status = Begin(); !status.ok()) return status;
    const auto found = disk_.names_.find(name);
    if (found == disk_.names_.end()) {
      disk_.Begin(Disk::Operation::kCreate);
      if (disk_.full_) return Full(name);
      disk_.names_[name] = std::make_shared<Disk::Content>();
      disk_.NoteNames();
    }
    const std::shared_ptr<Disk::Content>& content = disk_.names_[name];
    if (content->owner != nullptr && content->owner != process_ && !content->owner->dead) {
      return absl::FailedPreconditionError(absl::StrCat(name, ": is used by another process"));
    }
    return std::make_unique<OpenFile>(&disk_, process_, name, content, /*locks=*/true);
  }

  absl::StatusOr<std::unique_ptr<AppendFile>> Create(const std::string& folder, const std::string& name) override {
    if (absl::Status status = Begin(); !status.ok()) return status;
    disk_.Begin(Disk::Operation::kCreate);
    if (disk_.full_) return Full(name);
    disk_.names_[name] = std::make_shared<Disk::Content>();
    disk_.NoteNames();
    return std::make_unique<OpenFile>(&disk_, process_, name, disk_.names_[name], /*locks=*/true);
  }

  absl::StatusOr<std::unique_ptr<StateFile>> OpenForReading(const std::string& folder,
                                                            const std::string& name) override {
    if (absl::Status status = Begin(); !status.ok()) return status;
    const auto found = disk_.names_.find(name);
    if (found == disk_.names_.end()) return absl::NotFoundError(absl::StrCat(name, ": is missing"));
    return std::make_unique<OpenFile>(&disk_, process_, name, found->second, /*locks=*/false);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    if (absl::Status status = Begin(); !status.ok()) return status;
    std::vector<std::string> names;
    for (const auto& [name, content] : disk_.names_) names.push_back(name);
    return names;
  }

  absl::Status Rename(const std::string& folder, const std::string& from, const std::string& to) override {
    if (absl::Status status = Begin(); !status.ok()) return status;
    const auto found = disk_.names_.find(from);
    if (found == disk_.names_.end()) return absl::NotFoundError(absl::StrCat(from, ": is missing"));
    disk_.Begin(Disk::Operation::kRename);
    disk_.names_[to] = found->second;
    disk_.names_.erase(found);
    disk_.NoteNames();
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& folder, const std::string& name) override {
    if (absl::Status status = Begin(); !status.ok()) return status;
    disk_.Begin(Disk::Operation::kRemove);
    if (disk_.names_.erase(name) == 0) return absl::NotFoundError(absl::StrCat(name, ": is missing"));
    disk_.NoteNames();
    return absl::OkStatus();
  }
  absl::Status RemoveGently(const std::string& folder, const std::string& name) override {
    return Remove(folder, name);
  }

  absl::Status SyncFolder(const std::string& folder) override {
    disk_.Begin(Disk::Operation::kSyncFolder);
    const uint64_t changes = disk_.changes_;
    if (absl::Status status = disk_.Take(process_, disk_.sync_time_); !status.ok()) return status;
    while (!disk_.history_.empty() && disk_.history_.front().first <= changes) {
      disk_.synced_names_ = std::move(disk_.history_.front().second);
      disk_.history_.pop_front();
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Begin() { return disk_.Take(process_, absl::Microseconds(10)); }

  Disk& disk_;
  Process* const process_;
};

std::unique_ptr<FileLayer> Disk::Mount(Process* process) { return std::make_unique<MountedFiles>(this, process); }

void Disk::LoseNames() {
  if (!history_.empty() && orders_names_) {
    const uint64_t kept = random_.Below(history_.size() + 1);
    names_ = kept == 0 ? synced_names_ : history_[kept - 1].second;
  } else if (!history_.empty()) {
    // Each name by itself is as it is, or as it was.
    Names all = synced_names_;
    all.insert(names_.begin(), names_.end());
    for (const auto& [name, content] : all) {
      if (random_.Chance(0.5)) continue;
      const auto before = synced_names_.find(name);
      names_.erase(name);
      if (before != synced_names_.end()) names_.insert(*before);
    }
  }
  history_.clear();
  synced_names_ = names_;
}

void Disk::LosePower() {
  ++boots_;
  FlipBack();  // a bit that is lost could not be flipped back
  LoseNames();
  for (const auto& [name, content] : names_) {
    if (!content->cut.empty() && random_.Chance(0.5)) {
      content->bytes = content->bytes.substr(0, content->synced) + content->cut;
      content->synced = content->bytes.size();
    }
    content->cut.clear();
    const uint64_t size = content->bytes.size();
    if (size > content->synced) {
      const uint64_t unsynced = size - content->synced;
      switch (random_.Below(4)) {
        case 0:  // nothing of it
          content->bytes.resize(content->synced);
          break;
        case 1:  // a part
          content->bytes.resize(content->synced + random_.Below(unsynced + 1));
          break;
        case 2: {  // the length, with zeros from some block on
          const uint64_t zeros_from =
              (content->synced + random_.Below(unsynced + 1)) / kFrameAlignment * kFrameAlignment;
          for (uint64_t at = std::max(zeros_from, content->synced); at < size; ++at) content->bytes[at] = '\0';
          break;
        }
        default:  // all
          break;
      }
    }
    content->synced = content->bytes.size();
    content->failed.insert(content->failed.end(), content->again.begin(), content->again.end());
    content->again.clear();
    for (const auto& [begin, end] : content->failed) {
      for (uint64_t at = begin; at < std::min<uint64_t>(end, content->bytes.size()); ++at) content->bytes[at] = '\0';
    }
    content->failed.clear();
  }
}

bool Disk::FlipBit() {
  std::vector<std::shared_ptr<Content>> files;
  for (const auto& [name, content] : names_) {
    if (!content->bytes.empty()) files.push_back(content);
  }
  if (files.empty() || flipped_ != nullptr) return false;
  flipped_ = files[random_.Below(files.size())];
  flipped_bit_ = random_.Below(flipped_->bytes.size() * 8);
  flipped_->bytes[flipped_bit_ / 8] ^= static_cast<char>(1 << flipped_bit_ % 8);
  return true;
}

bool Disk::FlipBack() {
  if (flipped_ == nullptr) return false;
  const std::shared_ptr<Content> content = std::exchange(flipped_, nullptr);
  if (flipped_bit_ / 8 < content->bytes.size()) {
    content->bytes[flipped_bit_ / 8] ^= static_cast<char>(1 << flipped_bit_ % 8);
  }
  return true;
}

void Disk::RemoveAll() {
  names_.clear();
  synced_names_.clear();
  history_.clear();
  flipped_ = nullptr;
}

void Disk::Heal() {
  full_ = false;
  fail_sync_ = false;
  then_ = nullptr;
  still_until_ = absl::ZeroDuration();
}

}  // namespace cddp::simulation
