#include "server/update_log.h"

#include <utility>

namespace cddp {

void UpdateLog::Append(SharedUpdate update) {
  bytes_ += update->size();
  updates_.push_back(std::move(update));
  ++newest_;
  while (bytes_ > max_bytes_ && updates_.size() > 1) {
    bytes_ -= updates_.front()->size();
    updates_.pop_front();
  }
}

void UpdateLog::Restore(uint64_t newest, std::deque<SharedUpdate> updates) {
  newest_ = newest;
  updates_ = std::move(updates);
  bytes_ = 0;
  for (const SharedUpdate& update : updates_) bytes_ += update->size();
}

std::optional<std::vector<SharedUpdate>> UpdateLog::Since(uint64_t base) const {
  const uint64_t wanted = newest_ - base;
  if (wanted > updates_.size()) return std::nullopt;
  std::vector<SharedUpdate> since;
  for (auto update = updates_.end() - static_cast<std::ptrdiff_t>(wanted); update != updates_.end(); ++update) {
    if (!(*update)->empty()) since.push_back(*update);
  }
  return since;
}

}  // namespace cddp
