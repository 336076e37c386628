#include "server/update_log.h"

#include <algorithm>
#include <utility>

#include "common/check/check.h"

namespace cddp {
namespace {

constexpr size_t kBlockBytes = 16 << 10;
// Larger updates get their own block, so that at most this much is left free at the end of a block.
constexpr size_t kMostShared = kBlockBytes / 8;

}  // namespace

void UpdateLog::Append(absl::string_view update) {
  Entry entry;
  if (!update.empty()) {
    char* const begin = Reserve(SizeInRun(update), &entry.block);
    entry.begin = begin;
    entry.update = {WriteToRun(update, begin), update.size()};
  }
  entries_.push_back(std::move(entry));
  bytes_ += update.size();
  ++newest_;
  while (bytes_ > max_bytes_ && entries_.size() > std::max<uint64_t>(min_versions_, 1)) {
    bytes_ -= entries_.front().update.size();
    entries_.pop_front();
  }
}

char* UpdateLog::Reserve(size_t size, std::shared_ptr<char[]>* block) {
  if (size > kMostShared) {
    block->reset(new char[size]);
    return block->get();
  }
  if (block_ == nullptr || size > static_cast<size_t>(block_.get() + kBlockBytes - free_)) {
    block_.reset(new char[kBlockBytes]);
    free_ = block_.get();
  }
  *block = block_;
  return std::exchange(free_, free_ + size);
}

void UpdateLog::Restore(uint64_t newest, const std::vector<absl::string_view>& updates) {
  for (const absl::string_view update : updates) Append(update);
  newest_ = newest;
}

void UpdateLog::Restart(uint64_t newest) {
  entries_.clear();
  bytes_ = 0;
  newest_ = newest;
}

std::vector<absl::string_view> UpdateLog::Updates() const {
  std::vector<absl::string_view> updates;
  updates.reserve(entries_.size());
  for (const Entry& entry : entries_) updates.push_back(entry.update);
  return updates;
}

std::optional<std::vector<SharedBytes>> UpdateLog::Between(uint64_t base, uint64_t version) const {
  CDDP_CHECK(version <= newest_) << "version " << version << " of a log that ends at " << newest_;
  const uint64_t oldest = newest_ - entries_.size();
  if (base < oldest) return std::nullopt;
  std::vector<SharedBytes> between;
  const std::shared_ptr<char[]>* block = nullptr;  // of the last run
  for (uint64_t from = base; from < version; ++from) {
    const Entry& entry = entries_[from - oldest];
    if (entry.update.empty()) continue;
    const auto size = static_cast<size_t>(entry.end() - entry.begin);
    if (block != nullptr && *block == entry.block) {
      between.back() = SharedBytes(entry.block, {between.back().data(), between.back().size() + size});
    } else {
      between.emplace_back(entry.block, absl::string_view(entry.begin, size));
      block = &entry.block;
    }
  }
  return between;
}

bool UpdateLog::Refused(uint64_t version) const {
  const uint64_t oldest = newest_ - entries_.size();
  return version > oldest && version <= newest_ && entries_[version - oldest - 1].update.empty();
}

}  // namespace cddp
