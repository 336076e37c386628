#include "deploy/plan/plan_input.h"

#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cddp::plan {

absl::StatusOr<double> ParseRate(absl::string_view text) {
  absl::string_view number = text;
  double value = 0;
  for (const auto& [unit, factor] : {std::pair{"kbit", 1e3}, std::pair{"mbit", 1e6}, std::pair{"gbit", 1e9}}) {
    if (!absl::ConsumeSuffix(&number, unit)) continue;
    if (absl::SimpleAtod(number, &value) && value > 0 && std::isfinite(value)) return value * factor;
    break;
  }
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a rate: use 100mbit or 1gbit"));
}

absl::StatusOr<CostConstants> ParseCosts(absl::string_view text) {
  CostConstants costs;
  const std::map<absl::string_view, double*> names = {
      {"compress_ns", &costs.compress_ns},
      {"round_ns", &costs.round_ns},
      {"entry_ns", &costs.entry_ns},
      {"line_ns", &costs.line_ns},
      {"message_us", &costs.message_us},
      {"byte_ns", &costs.byte_ns},
      {"message_bytes", &costs.message_bytes},
      {"wire_factor", &costs.wire_factor},
      {"goodput", &costs.goodput},
      {"message_latency_ms", &costs.message_latency_ms},
      {"step_ms", &costs.step_ms},
  };
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto named = names.find(pair.first);
    double value = 0;
    if (named == names.end() || !absl::SimpleAtod(pair.second, &value) || !(value > 0) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat("'", part, "' is not a constant with a value above 0"));
    }
    *named->second = value;
  }
  return costs;
}

}  // namespace cddp::plan
