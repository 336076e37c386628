// Files in memory that know what was synced, and that fail or crash at the n-th call.

#ifndef TESTS_UNIT_JOURNAL_FAULTY_FILES_H_
#define TESTS_UNIT_JOURNAL_FAULTY_FILES_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

#include "server/journal/file_layer.h"

namespace cddp {

// Holds one file. Thread-safe.
class FaultyFiles final : public FileLayer {
 public:
  // What the disk holds after a crash: all that was synced and, of the rest, what `kept` says.
  enum class Kept { kNothing, kHalf, kAll, kLengthOnly };

  absl::StatusOr<std::unique_ptr<StateFile>> Open(const std::string& folder, const std::string& name) override;
  absl::Status SyncFolder(const std::string& folder) override;

  // The call after `calls` more fails, and all that follow it.
  void FailAfter(uint64_t calls, absl::Status error);
  // Loses what a loss of power loses, and lets calls succeed again.
  void Crash(Kept kept);

  uint64_t calls() const;
  std::string content() const;
  void set_content(std::string content);

 private:
  friend class FaultyFile;
  absl::Status Call();

  mutable std::mutex mutex_;
  std::string content_;
  uint64_t synced_ = 0;  // bytes of content_ that a crash keeps
  uint64_t calls_ = 0;
  uint64_t fail_at_ = std::numeric_limits<uint64_t>::max();
  absl::Status error_;
};

}  // namespace cddp

#endif  // TESTS_UNIT_JOURNAL_FAULTY_FILES_H_
