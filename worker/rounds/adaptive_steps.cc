#include "worker/rounds/adaptive_steps.h"

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/codec/crc32c.h"
#include "common/files/durable_file.h"
#include "worker/rounds/decision_file.h"

namespace cddp {
namespace {

bool IsChoosable(uint32_t steps) {
  return steps >= kFewestLocalSteps && steps <= kMostLocalSteps && (steps & (steps - 1)) == 0;
}

std::string Text(const std::map<uint64_t, uint32_t>& decisions) {
  std::string text;
  for (const auto& [exchange, steps] : decisions) absl::StrAppend(&text, exchange, " ", steps, "\n");
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdaptiveSteps>> AdaptiveSteps::Create(const StepsChoice& choice,
                                                                     const std::string& log) {
  const bool repeats = choice.kind == StepsChoice::Kind::kRepeat;
  if (!repeats) {
    if (absl::Status status = CheckDecisionLog("--local_steps_log", log); !status.ok()) return status;
  }
  std::unique_ptr<AdaptiveSteps> made(new AdaptiveSteps(repeats, repeats ? choice.decisions : log));
  if (absl::Status status = made->Read(); !status.ok()) return status;
  if (!repeats) return made;
  if (made->decisions_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--local_steps=@", choice.decisions, ": no decision is in it"));
  }
  const std::string text = Text(made->decisions_);
  made->crc32c_ = Crc32c(text.data(), text.size());
  return made;
}

absl::Status AdaptiveSteps::Read() {
  if (path_.empty() || (!repeats_ && !std::filesystem::exists(path_))) return absl::OkStatus();
  const std::string form = absl::StrCat("'EXCHANGE STEPS' in ascending order, with a power of two from ",
                                        kFewestLocalSteps, " to ", kMostLocalSteps, " for the steps");
  return ReadDecisions(path_, form, [this](uint64_t exchange, absl::Span<const absl::string_view> words) {
    uint32_t steps = 0;
    if (exchange == 0 || words.size() != 1 || !absl::SimpleAtoi(words[0], &steps) || !IsChoosable(steps)) return false;
    decisions_[exchange] = steps;
    return true;
  });
}

absl::Status AdaptiveSteps::Begin(uint64_t exchange, uint32_t steps) {
  control_ = StepsControl(steps);
  if (!repeats_) {
    decisions_.erase(decisions_.lower_bound(exchange), decisions_.end());
  } else if (decisions_.begin()->first > exchange) {
    return absl::FailedPreconditionError(absl::StrCat(path_, ": decides from exchange ", decisions_.begin()->first,
                                                      " on, but the coming exchange is ", exchange));
  }
  return NoteDecided(exchange, steps).status();
}

AgreedSteps AdaptiveSteps::Next(uint64_t exchange, const AgreedSteps& now, uint64_t made) const {
  return StepsAfter(now, made, repeats_ ? StepsOf(exchange + 1) : now.wished_steps(), control_.wish());
}

absl::StatusOr<bool> AdaptiveSteps::NoteDecided(uint64_t exchange, uint32_t steps) {
  if (std::exchange(told_, steps) == steps) return false;
  if (repeats_) return true;
  if (!decisions_.empty() && decisions_.rbegin()->second == steps) return true;
  decisions_[exchange] = steps;
  if (path_.empty()) return true;
  if (absl::Status status = ReplaceFile(path_, Text(decisions_)); !status.ok()) return status;
  return true;
}

}  // namespace cddp
