// The last versions' published updates of one bucket, so that a worker some versions behind gets what it lacks.

#ifndef SERVER_UPDATE_LOG_H_
#define SERVER_UPDATE_LOG_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cddp {

using SharedUpdate = std::shared_ptr<const std::string>;

// Not thread-safe.
class UpdateLog {
 public:
  // Forgets the oldest updates beyond `max_bytes` in all, but never the newest.
  explicit UpdateLog(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // The update that leads from newest() to newest() + 1; never null.
  void Append(SharedUpdate update);

  // Takes the place of an empty log: the updates that lead to `newest`.
  void Restore(uint64_t newest, std::deque<SharedUpdate> updates);

  uint64_t newest() const { return newest_; }
  uint64_t bytes() const { return bytes_; }
  const std::deque<SharedUpdate>& updates() const { return updates_; }  // oldest first

  // The updates that lead from `base` (<= newest()) to newest(), oldest first, empty ones left out; nullopt if they are
  // forgotten. Shared, not copied.
  std::optional<std::vector<SharedUpdate>> Since(uint64_t base) const;

 private:
  const uint64_t max_bytes_;
  uint64_t newest_ = 0;
  uint64_t bytes_ = 0;
  std::deque<SharedUpdate> updates_;  // of versions newest_ - size() + 1 .. newest_
};

}  // namespace cddp

#endif  // SERVER_UPDATE_LOG_H_
