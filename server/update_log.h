// The last versions' published updates of one bucket, so that a worker some versions behind can get them.
//
// They lie one after the other in blocks. If each were a separate allocation, the thousands that live at a time would
// spread over the heap at its largest size and stay there, since each new one takes the place of a forgotten
// one.

#ifndef SERVER_UPDATE_LOG_H_
#define SERVER_UPDATE_LOG_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/update_run.h"

namespace cddp {

// Not thread-safe; the runs are.
class UpdateLog {
 public:
  // Forgets the oldest updates beyond `max_bytes` in all, but never the newest `min_versions`.
  explicit UpdateLog(uint64_t max_bytes, uint64_t min_versions = 1)
      : max_bytes_(max_bytes), min_versions_(min_versions) {}

  // The update that leads from newest() to newest() + 1. Empty: the round was refused.
  void Append(absl::string_view update);

  // Takes the place of an empty log: the updates that lead to `newest`, oldest first.
  void Restore(uint64_t newest, const std::vector<absl::string_view>& updates);

  // Forgets all, and goes on from `newest`.
  void Restart(uint64_t newest);

  uint64_t newest() const { return newest_; }
  uint64_t bytes() const { return bytes_; }

  // All that are kept, oldest first; valid until the next Append.
  std::vector<absl::string_view> Updates() const;

  // The updates that lead from `base` to `version` (base <= version <= newest()), oldest first, empty ones left out;
  // nullopt if they are forgotten.
  std::optional<std::vector<SharedBytes>> Between(uint64_t base, uint64_t version) const;

  // Whether the round that made `version` was refused. False if that is forgotten.
  bool Refused(uint64_t version) const;

 private:
  struct Entry {
    std::shared_ptr<char[]> block;
    const char* begin = nullptr;  // in a run, that is of the field
    absl::string_view update;

    const char* end() const { return update.data() + update.size(); }
  };

  // Room for `size` bytes, in *block.
  char* Reserve(size_t size, std::shared_ptr<char[]>* block);

  const uint64_t max_bytes_;
  const uint64_t min_versions_;
  uint64_t newest_ = 0;
  uint64_t bytes_ = 0;
  std::shared_ptr<char[]> block_;  // the newest, with room at free_
  char* free_ = nullptr;
  std::deque<Entry> entries_;  // of versions newest_ - size() + 1 .. newest_
};

}  // namespace cddp

#endif  // SERVER_UPDATE_LOG_H_
