#include "server/journal/journal.h"

#include <spdlog/spdlog.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "server/journal/frame.h"

namespace cddp {
namespace {

constexpr char kFileName[] = "journal";

absl::Status InFile(const absl::Status& status, const JournalOptions& options) {
  return absl::Status(status.code(), absl::StrCat(options.folder, "/", kFileName, ": ", status.message()));
}

}  // namespace

bool AbslParseFlag(absl::string_view text, Durability* durability, std::string* error) {
  if (text == "version") {
    *durability = Durability::kVersion;
  } else if (text == "none") {
    *durability = Durability::kNone;
  } else {
    *error = "must be version or none";
    return false;
  }
  return true;
}

std::string AbslUnparseFlag(Durability durability) { return durability == Durability::kVersion ? "version" : "none"; }

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options, const Replay& replay) {
  absl::StatusOr<std::unique_ptr<StateFile>> file = options.files->Open(options.folder, kFileName);
  if (!file.ok()) return file.status();
  std::unique_ptr<Journal> journal(new Journal(options, *std::move(file)));
  if (absl::Status status = journal->ReadAll(replay); !status.ok()) return InFile(status, options);
  if (absl::Status status = options.files->SyncFolder(options.folder); !status.ok()) return status;
  journal->writer_ = std::thread([raw = journal.get()] { raw->WriteFrames(); });
  return journal;
}

absl::Status Journal::ReadAll(const Replay& replay) {
  std::lock_guard lock(mutex_);
  FrameReader reader(file_.get());
  while (true) {
    absl::StatusOr<std::shared_ptr<const std::string>> frame = reader.Next();
    if (!frame.ok()) return frame.status();
    if (*frame == nullptr) break;
    absl::string_view bytes = **frame;
    while (!bytes.empty()) {
      JournalEvent event;
      if (absl::Status status = TakeEvent(&bytes, &event); !status.ok()) return status;
      if (absl::Status status = replay(event, *frame); !status.ok()) return status;
    }
  }
  frames_ = reader.frames();
  bytes_ = reader.whole_bytes();
  absl::StatusOr<uint64_t> size = file_->Size();
  if (!size.ok()) return size.status();
  if (*size == bytes_) {
    // Read does not mean on the disk: the process that wrote it may have died before its sync.
    return file_->Sync();
  }
  spdlog::warn(
      "event=journal_tail_cut folder={} bytes={} reason=\"its writer ended while writing; nothing of it was answered\"",
      options_.folder, *size - bytes_);
  if (absl::Status status = file_->Truncate(bytes_); !status.ok()) return status;
  return file_->Sync();
}

Journal::~Journal() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
    work_.notify_one();
  }
  if (writer_.joinable()) writer_.join();
}

uint64_t Journal::Append(const JournalEvent& event) {
  std::lock_guard lock(mutex_);
  if (failed_.ok()) AppendEvent(event, &pending_);
  work_.notify_one();
  return ++appended_;
}

void Journal::WhenDurable(uint64_t position, std::function<void(const absl::Status&)> then) {
  absl::Status status;
  {
    std::lock_guard lock(mutex_);
    status = failed_;
    if (status.ok() && durable_ < position && options_.durability == Durability::kVersion) {
      waiting_.emplace_back(position, std::move(then));
      return;
    }
  }
  then(status);
}

absl::Status Journal::Wait(uint64_t position) {
  absl::Status result;
  absl::Notification done;
  WhenDurable(position, [&](const absl::Status& status) {
    result = status;
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

absl::Status Journal::WaitForAll() {
  uint64_t position;
  {
    std::lock_guard lock(mutex_);
    position = appended_;
  }
  return Wait(position);
}

absl::Status Journal::WriteFrame(uint64_t number, std::string* payload) {
  const std::string header = FrameHeader(number, *payload);
  payload->push_back(kFrameEnd);
  if (absl::Status status = file_->Append(header); !status.ok()) return status;
  if (absl::Status status = file_->Append(*payload); !status.ok()) return status;
  return options_.durability == Durability::kVersion ? file_->Sync() : absl::OkStatus();
}

void Journal::WriteFrames() {
  std::string payload;
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return ending_ || !pending_.empty(); });
    if (pending_.empty()) return;
    payload.clear();
    payload.swap(pending_);
    const uint64_t position = appended_;
    const uint64_t number = frames_;
    lock.unlock();
    const absl::Status status = WriteFrame(number, &payload);
    lock.lock();
    if (status.ok()) {
      durable_ = position;
      ++frames_;
      bytes_ += kFrameHeaderBytes + payload.size();
    } else {
      // Half a frame may stand at the end of the file. It is the torn tail that the next start cuts off.
      failed_ = InFile(status, options_);
      pending_.clear();
      spdlog::error("event=journal_failed reason=\"{}\"", std::string(failed_.message()));
    }
    std::vector<std::function<void(const absl::Status&)>> ready;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (failed_.ok() && it->first > durable_) {
        ++it;
        continue;
      }
      ready.push_back(std::move(it->second));
      it = waiting_.erase(it);
    }
    const absl::Status told = failed_;
    lock.unlock();
    for (const auto& then : ready) then(told);
    lock.lock();
    if (!failed_.ok()) return;
  }
}

uint64_t Journal::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

uint64_t Journal::frames() const {
  std::lock_guard lock(mutex_);
  return frames_;
}

}  // namespace cddp
