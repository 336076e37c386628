#include "worker/rounds/adaptive_ratio.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/files/durable_file.h"
#include "worker/rounds/decision_file.h"

namespace cddp {
namespace {

// RATIO VALUES INDICES. False if they are none.
bool Parse(absl::Span<const absl::string_view> words, SendLevel* level) {
  std::string error;
  return words.size() == 3 && absl::SimpleAtod(words[0], &level->ratio) && level->ratio > 0 && level->ratio <= 1 &&
         AbslParseFlag(words[1], &level->value_encoding, &error) &&
         AbslParseFlag(words[2], &level->index_encoding, &error) &&
         (level->ratio == 1 || level->index_encoding != IndexEncoding::kDense);
}

std::string Line(uint64_t step, const SendLevel& level) {
  return absl::StrFormat("%d %.17g %s %s\n", step, level.ratio, Name(level.value_encoding), Name(level.index_encoding));
}

// The place in the table of what is nearest to `level`.
size_t NearestLevel(const SendLevel& level) {
  const absl::Span<const RatioLevel> levels = RatioLevels();
  for (size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].send == level) return i;
  }
  return RatioControl::kFirstLevel;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdaptiveRatio>> AdaptiveRatio::Create(const RatioChoice& choice, const std::string& log,
                                                                     size_t first_level) {
  const bool decides = choice.kind == RatioChoice::Kind::kAuto;
  if (decides) {
    if (absl::Status status = CheckDecisionLog("--ratio_log", log); !status.ok()) return status;
  }
  std::unique_ptr<AdaptiveRatio> made(new AdaptiveRatio(decides, decides ? log : choice.decisions, first_level));
  if (absl::Status status = made->Read(); !status.ok()) return status;
  if (!decides && made->decisions_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--ratio=@", choice.decisions, ": no decision is in it"));
  }
  return made;
}

absl::Status AdaptiveRatio::Read() {
  if (path_.empty() || (decides_ && !std::filesystem::exists(path_))) return absl::OkStatus();
  return ReadDecisions(path_, "'STEP RATIO VALUES INDICES' in ascending order",
                       [this](uint64_t step, absl::Span<const absl::string_view> words) {
                         SendLevel level;
                         if (!Parse(words, &level)) return false;
                         decisions_[step] = level;
                         return true;
                       });
}

absl::Status AdaptiveRatio::Begin(uint64_t step, uint64_t counted) {
  const auto knows = [&] { return !decisions_.empty() && decisions_.begin()->first <= step; };
  if (!decides_) {
    if (knows()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": decides from step ", decisions_.begin()->first, " on, but the coming step is ", step));
  }
  if (step < counted) {
    if (!knows()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "steps from ", step, " on were made before, and ", path_.empty() ? "no file" : path_,
          " knows how much was sent in them: keep the file of --ratio=auto (--ratio_log) beside the checkpoints"));
    }
    repeats_until_ = std::max(counted, decisions_.rbegin()->first);
    control_ = RatioControl(NearestLevel(decisions_.rbegin()->second));
    return absl::OkStatus();
  }
  decisions_.erase(decisions_.lower_bound(step), decisions_.end());
  if (!decisions_.empty()) control_ = RatioControl(NearestLevel(decisions_.rbegin()->second));
  return Decide(step, RatioLevels()[control_.level()].send);
}

SendLevel AdaptiveRatio::LevelOf(uint64_t step) const { return std::prev(decisions_.upper_bound(step))->second; }

absl::StatusOr<bool> AdaptiveRatio::NoteRound(uint64_t step, double compute_seconds, double wait_seconds,
                                              const RatioControl::Limits& limits) {
  if (!decides_ || step + 1 < repeats_until_) return !(LevelOf(step) == LevelOf(step + 1));
  if (!control_.NoteRound(compute_seconds, wait_seconds, limits)) return false;
  if (absl::Status status = Decide(step + 1, RatioLevels()[control_.level()].send); !status.ok()) return status;
  return true;
}

absl::Status AdaptiveRatio::Decide(uint64_t step, const SendLevel& level) {
  decisions_[step] = level;
  if (path_.empty()) return absl::OkStatus();
  std::string text;
  for (const auto& [from, decided] : decisions_) text += Line(from, decided);
  return ReplaceFile(path_, text);
}

}  // namespace cddp
