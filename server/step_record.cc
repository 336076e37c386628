#include "server/step_record.h"

#include <algorithm>

#include "common/check/check.h"

namespace cddp {
namespace {

// The number of gaps, and of late steps, that are kept per worker.
constexpr size_t kKnown = 64;

}  // namespace

bool StepRecord::IsCounted(uint64_t step) const {
  return step < next_ && std::none_of(gaps_.begin(), gaps_.end(),
                                      [step](const Gap& gap) { return gap.begin <= step && step < gap.end; });
}

void StepRecord::NoteCounted(uint64_t step, bool keeps_gaps) {
  if (step >= next_) {
    if (keeps_gaps && step > next_) {
      gaps_.push_back({next_, step});
      if (gaps_.size() > kKnown) gaps_.erase(gaps_.begin());
    }
    next_ = step + 1;
    return;
  }
  const auto gap =
      std::find_if(gaps_.begin(), gaps_.end(), [step](const Gap& gap) { return gap.begin <= step && step < gap.end; });
  CDDP_CHECK(gap != gaps_.end()) << "step " << step << " is counted twice";
  const Gap after = {step + 1, gap->end};
  gap->end = step;
  if (after.begin < after.end) gaps_.insert(gap + 1, after);
  std::erase_if(gaps_, [](const Gap& gap) { return gap.begin == gap.end; });
}

void StepRecord::NoteLate(uint64_t step) {
  late_.push_back(step);
  if (late_.size() > kKnown) late_.erase(late_.begin());
}

bool StepRecord::WasLate(uint64_t step) const { return std::find(late_.begin(), late_.end(), step) != late_.end(); }

uint64_t StepRecord::FollowerOf(uint64_t step) const {
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(), [step](const Gap& gap) { return gap.begin == step + 1; });
  return gap == gaps_.end() ? step + 1 : gap->end;
}

void StepRecord::Save(ByteWriter& to) const {
  to.Put<uint64_t>(next_);
  to.Put<uint32_t>(static_cast<uint32_t>(gaps_.size()));
  for (const Gap& gap : gaps_) {
    to.Put<uint64_t>(gap.begin);
    to.Put<uint64_t>(gap.end);
  }
  to.Put<uint32_t>(static_cast<uint32_t>(late_.size()));
  for (const uint64_t step : late_) to.Put<uint64_t>(step);
}

void StepRecord::Load(ByteReader& from) {
  next_ = from.Get<uint64_t>();
  for (uint32_t left = from.Get<uint32_t>(); left > 0 && from.ok(); --left) {
    gaps_.push_back({from.Get<uint64_t>(), from.Get<uint64_t>()});
  }
  for (uint32_t left = from.Get<uint32_t>(); left > 0 && from.ok(); --left) late_.push_back(from.Get<uint64_t>());
}

}  // namespace cddp
