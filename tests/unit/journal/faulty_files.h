// Files in memory that know what was synced, and that fail or crash at the n-th call.

#ifndef TESTS_UNIT_JOURNAL_FAULTY_FILES_H_
#define TESTS_UNIT_JOURNAL_FAULTY_FILES_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "common/sync/mutex.h"
#include "server/journal/file_layer.h"

namespace cddp {

// One folder, whatever its name. Thread-safe.
class FaultyFiles final : public FileLayer {
 public:
  // What the disk holds after a crash: all that was synced and, of the rest, what `kept` says. Names are the folder's
  // content; kNothing and kHalf take back what was made, moved or removed since the folder was synced.
  enum class Kept { kNothing, kHalf, kAll, kLengthOnly };

  absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& folder, const std::string& name) override;
  absl::StatusOr<std::unique_ptr<AppendFile>> Create(const std::string& folder, const std::string& name) override;
  absl::StatusOr<std::unique_ptr<StateFile>> OpenForReading(const std::string& folder,
                                                            const std::string& name) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override;
  absl::Status Rename(const std::string& folder, const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& folder, const std::string& name) override;
  absl::Status RemoveGently(const std::string& folder, const std::string& name) override {
    return Remove(folder, name);
  }
  absl::Status SyncFolder(const std::string& folder) override;

  // The call after `calls` more fails, and all that follow it. A call that fails may have done its work in part.
  void FailAfter(uint64_t calls, absl::Status error);
  // That call alone fails.
  void FailOnce(uint64_t calls, absl::Status error);
  // The next sync of a file fails. As a kernel does, it takes what it could not write for written from then on.
  void FailNextSync(absl::Status error);
  // The next Open fails and makes nothing.
  void RefuseOpen(absl::Status error);
  // Called before each append to a file whose name begins with `prefix`.
  void BeforeAppend(std::string prefix, std::function<void()> hook);
  // Loses what a loss of power loses, and lets calls succeed again.
  void Crash(Kept kept);

  uint64_t calls() const;
  std::map<std::string, std::string> contents() const;  // by name
  void set_contents(const std::map<std::string, std::string>& contents);

 private:
  friend class FaultyFile;
  struct Content {
    std::string bytes;
    uint64_t synced = 0;                      // bytes that a crash keeps
    std::pair<uint64_t, uint64_t> lost;       // but for these, which a sync failed to write
    std::pair<uint64_t, uint64_t> lost_once;  // likewise, until the next sync: they were written again
  };
  using Names = std::map<std::string, std::shared_ptr<Content>>;

  absl::Status Call();
  void CallHook(const std::string& name);

  mutable Mutex mutex_;
  Names names_;
  Names synced_names_;
  uint64_t calls_ = 0;
  uint64_t fail_at_ = std::numeric_limits<uint64_t>::max();  // calls [fail_at_, fail_until_) fail
  uint64_t fail_until_ = std::numeric_limits<uint64_t>::max();
  absl::Status error_;
  absl::Status refusal_;
  absl::Status sync_error_;
  std::string hooked_;
  std::function<void()> hook_;
};

}  // namespace cddp

#endif  // TESTS_UNIT_JOURNAL_FAULTY_FILES_H_
