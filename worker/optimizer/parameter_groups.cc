#include "worker/optimizer/parameter_groups.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cddp {
namespace {

absl::Status Wrong(absl::string_view group, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--param_groups: '", group, "': ", why, "; write PATTERN:lr=0.01,weight_decay=0;PATTERN:..."));
}

absl::Status SetValue(absl::string_view group, absl::string_view text, ParameterGroup* parsed) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  double value = 0;
  if (!absl::SimpleAtod(parts.second, &value) || !std::isfinite(value) || value < 0) {
    return Wrong(group, absl::StrCat("'", text, "' is no name=number of at least 0"));
  }
  if (parts.first == "lr") {
    parsed->lr = value;
  } else if (parts.first == "weight_decay") {
    parsed->weight_decay = value;
  } else {
    return Wrong(group, absl::StrCat("'", parts.first, "' is neither lr nor weight_decay"));
  }
  return absl::OkStatus();
}

bool Matches(const ParameterGroup& group, const std::string& name) {
  return fnmatch(group.pattern.c_str(), name.c_str(), 0) == 0;
}

OptimizerOptions OptionsOf(const TensorSpec& tensor, const OptimizerOptions& options,
                           const std::vector<ParameterGroup>& groups) {
  OptimizerOptions own = options;
  if (own.kind == OptimizerKind::kAdamW && tensor.shape.size() <= 1) own.weight_decay = 0;
  for (const ParameterGroup& group : groups) {
    if (!Matches(group, tensor.name)) continue;
    own.lr.base = group.lr.value_or(own.lr.base);
    own.weight_decay = group.weight_decay.value_or(own.weight_decay);
  }
  return own;
}

bool Alike(const OptimizerOptions& a, const OptimizerOptions& b) {
  return a.lr.base == b.lr.base && a.weight_decay == b.weight_decay;
}

}  // namespace

absl::StatusOr<std::vector<ParameterGroup>> ParseParameterGroups(absl::string_view text) {
  std::vector<ParameterGroup> groups;
  for (const absl::string_view group : absl::StrSplit(text, ';', absl::SkipWhitespace())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(group, absl::MaxSplits(':', 1));
    if (parts.size() != 2 || parts[0].empty()) return Wrong(group, "has no pattern before ':'");
    ParameterGroup parsed = {std::string(parts[0])};
    for (const absl::string_view value : absl::StrSplit(parts[1], ',')) {
      if (absl::Status status = SetValue(group, value, &parsed); !status.ok()) return status;
    }
    groups.push_back(std::move(parsed));
  }
  return groups;
}

absl::StatusOr<std::vector<ParameterRun>> MakeParameterRuns(const ParameterLayout& layout,
                                                            const OptimizerOptions& options,
                                                            const std::vector<ParameterGroup>& groups,
                                                            uint64_t most_elements) {
  const std::vector<TensorSpec>& tensors = layout.tensors();
  for (const ParameterGroup& group : groups) {
    if (std::none_of(tensors.begin(), tensors.end(), [&](const TensorSpec& tensor) {
          return tensor.kind == TensorKind::kParameter && Matches(group, tensor.name);
        })) {
      return absl::InvalidArgumentError(absl::StrCat("--param_groups: no tensor is named '", group.pattern,
                                                     "'; the first is '", tensors.front().name, "'"));
    }
  }
  std::vector<ParameterRun> runs;
  for (size_t i = 0; i < tensors.size() && tensors[i].kind == TensorKind::kParameter; ++i) {
    const OptimizerOptions own = OptionsOf(tensors[i], options, groups);
    ElementRange left = layout.tensor_range(i);
    if (!runs.empty() && Alike(runs.back().options, own)) {
      ParameterRun& last = runs.back();
      const uint64_t more = std::min(left.size(), most_elements - last.range.size());
      last.range.end += more;
      left.begin += more;
    }
    while (left.size() > 0) {
      const uint64_t end = left.begin + std::min(left.size(), most_elements);
      runs.push_back({{left.begin, end}, own});
      left.begin = end;
    }
  }
  return runs;
}

}  // namespace cddp
