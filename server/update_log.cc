#include "server/update_log.h"

#include <algorithm>
#include <utility>

namespace cddp {

void UpdateLog::Append(SharedUpdate update) {
  bytes_ += update->size();
  updates_.push_back(std::move(update));
  ++newest_;
  while (bytes_ > max_bytes_ && updates_.size() > std::max<uint64_t>(min_versions_, 1)) {
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

std::optional<std::vector<SharedUpdate>> UpdateLog::Between(uint64_t base, uint64_t version) const {
  const uint64_t oldest = newest_ - updates_.size();
  if (base < oldest) return std::nullopt;
  std::vector<SharedUpdate> between;
  for (uint64_t from = base; from < version; ++from) {
    if (const SharedUpdate& update = updates_[from - oldest]; !update->empty()) between.push_back(update);
  }
  return between;
}

bool UpdateLog::Refused(uint64_t version) const {
  const uint64_t oldest = newest_ - updates_.size();
  return version > oldest && version <= newest_ && updates_[version - oldest - 1]->empty();
}

}  // namespace cddp
