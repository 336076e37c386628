#include "worker/client/claims.h"

#include <map>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/sync/mutex.h"

namespace cddp {
namespace {

struct Range {
  uintptr_t end = 0;
  std::string name;
  const Claims* owner = nullptr;
};

// The claims of this process. Never destroyed, because clients may outlive static objects.
struct Taken {
  Mutex mutex;
  std::map<uintptr_t, Range> memory ABSL_GUARDED_BY(mutex);  // by start address; disjoint
  std::set<std::string> ranks ABSL_GUARDED_BY(mutex);
};

Taken& All() {
  static Taken& taken = *new Taken;
  return taken;
}

// The range that overlaps [begin, end), or null.
const Range* Overlapping(const std::map<uintptr_t, Range>& memory, uintptr_t begin, uintptr_t end) {
  const auto after = memory.lower_bound(end);
  if (after == memory.begin()) return nullptr;
  const Range& before = std::prev(after)->second;
  return before.end > begin ? &before : nullptr;
}

}  // namespace

Claims::~Claims() {
  Taken& taken = All();
  MutexLock lock(taken.mutex);
  for (const uintptr_t begin : memory_) taken.memory.erase(begin);
  taken.ranks.erase(rank_);
}

absl::Status Claims::ClaimMemory(const std::vector<ClientTensor>& tensors, const std::vector<uint64_t>& elements) {
  Taken& taken = All();
  MutexLock lock(taken.mutex);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (elements[i] == 0) continue;
    const auto begin = reinterpret_cast<uintptr_t>(tensors[i].data);
    const uintptr_t end = begin + elements[i] * sizeof(float);
    if (const Range* other = Overlapping(taken.memory, begin, end); other != nullptr) {
      return absl::AlreadyExistsError(
          other->owner == this ? absl::StrCat("tensors '", other->name, "' and '", tensors[i].spec.name,
                                              "' share memory: give a tied parameter once")
                               : absl::StrCat("tensor '", tensors[i].spec.name, "' shares memory with '", other->name,
                                              "' of another client of this process: destroy that one first"));
    }
    taken.memory[begin] = {end, tensors[i].spec.name, this};
    memory_.push_back(begin);
  }
  return absl::OkStatus();
}

absl::Status Claims::ClaimRank(const std::vector<std::string>& servers, uint32_t rank) {
  const std::string key = absl::StrCat(rank, "@", absl::StrJoin(servers, ","));
  Taken& taken = All();
  MutexLock lock(taken.mutex);
  if (!taken.ranks.insert(key).second) {
    return absl::AlreadyExistsError(absl::StrCat("this process has joined ", absl::StrJoin(servers, ","), " as rank ",
                                                 rank, " already: leave and destroy that client first"));
  }
  rank_ = key;
  return absl::OkStatus();
}

}  // namespace cddp
