// Rates and weight decay of a worker's optimizer by tensor.

#ifndef WORKER_OPTIMIZER_PARAMETER_GROUPS_H_
#define WORKER_OPTIMIZER_PARAMETER_GROUPS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/layout/parameter_layout.h"
#include "common/optimizer/optimizer.h"

namespace cddp {

// A rule for the tensors whose names match `pattern`, a shell's: * stands for any text, ? for one character.
struct ParameterGroup {
  std::string pattern;
  std::optional<double> lr = std::nullopt;  // instead of the base rate; the schedule stays
  std::optional<double> weight_decay = std::nullopt;
};

// Reads "PATTERN:lr=0.01,weight_decay=0;PATTERN:...". Empty: none. InvalidArgument says what is wrong.
absl::StatusOr<std::vector<ParameterGroup>> ParseParameterGroups(absl::string_view text);

// Consecutive elements with the same settings.
struct ParameterRun {
  ElementRange range;
  OptimizerOptions options;
};

// Cuts the parameter space into runs of at most `most_elements`, in order. AdamW decays no tensors of one dimension
// (biases, normalisation) unless a group says so; of several groups that match a tensor, the last one counts.
// InvalidArgument, naming the pattern, for a group that matches no tensor: it is a mistake.
absl::StatusOr<std::vector<ParameterRun>> MakeParameterRuns(const ParameterLayout& layout,
                                                            const OptimizerOptions& options,
                                                            const std::vector<ParameterGroup>& groups,
                                                            uint64_t most_elements);

}  // namespace cddp

#endif  // WORKER_OPTIMIZER_PARAMETER_GROUPS_H_
