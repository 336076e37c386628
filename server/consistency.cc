#include "server/consistency.h"

#include "absl/strings/str_cat.h"

namespace cddp {

uint64_t StalenessBound(const ConsistencyOptions& options, uint32_t worker_count) {
  if (options.mode != Consistency::kStale) return 0;
  // When a worker at clock c is let go, each other is at c - max_staleness or later; until it contributes again, each
  // gets as far as c + max_staleness, from where one more contribution is counted before its call has to wait.
  // That is bucket 0. In the others a worker that is let go may have one contribution under way, and so may each other,
  // at both ends.
  return (worker_count - 1) * (2 * options.max_staleness + 4);
}

absl::Status Validate(const ConsistencyOptions& options, uint32_t worker_count) {
  if (options.quorum > worker_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("--quorum=", options.quorum, " is more than --workers=", worker_count));
  }
  if (options.quorum != 0 && options.mode != Consistency::kSync) {
    return absl::InvalidArgumentError("--quorum needs --consistency=sync");
  }
  return absl::OkStatus();
}

bool AbslParseFlag(absl::string_view text, Consistency* mode, std::string* error) {
  for (Consistency candidate : {Consistency::kSync, Consistency::kStale, Consistency::kAsync}) {
    if (text == AbslUnparseFlag(candidate)) {
      *mode = candidate;
      return true;
    }
  }
  *error = "use sync, stale or async";
  return false;
}

std::string AbslUnparseFlag(Consistency mode) {
  switch (mode) {
    case Consistency::kSync:
      return "sync";
    case Consistency::kStale:
      return "stale";
    case Consistency::kAsync:
      return "async";
  }
  return "";
}

}  // namespace cddp
