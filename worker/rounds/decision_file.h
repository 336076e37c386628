// The file of a training's decisions (--ratio=auto, --local_steps=auto): a line of words for each
// decision, which begins with the number of the step or exchange from which on it holds. Lines ascend; those that are
// empty or begin with '#' say nothing.

#ifndef WORKER_ROUNDS_DECISION_FILE_H_
#define WORKER_ROUNDS_DECISION_FILE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cddp {

// Gives each decision to `take`: from when on it holds, and the words behind that; false: these are no decision. Errors
// of opening the file; InvalidArgument, naming the line and saying what is expected, `form`, for what is no decision.
using TakeDecision = absl::FunctionRef<bool(uint64_t from, absl::Span<const absl::string_view> words)>;
absl::Status ReadDecisions(const std::string& path, absl::string_view form, TakeDecision take);

// Before the training: can decisions be written to the file that `flag` names? InvalidArgument, naming both, if not. OK
// for an empty path, which is none.
absl::Status CheckDecisionLog(absl::string_view flag, const std::string& path);

}  // namespace cddp

#endif  // WORKER_ROUNDS_DECISION_FILE_H_
