// --optimizer of a worker: its own, or none if the servers have the optimizer.

#ifndef WORKER_OPTIMIZER_OPTIMIZER_CHOICE_H_
#define WORKER_OPTIMIZER_OPTIMIZER_CHOICE_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/optimizer/optimizer.h"

namespace cddp {

struct OptimizerChoice {
  std::optional<OptimizerKind> kind;  // none: gradients are pushed, and the servers' optimizer makes the steps
};

// For ABSL_FLAG: "none", "sgd", "adam", "adamw".
inline bool AbslParseFlag(absl::string_view text, OptimizerChoice* choice, std::string* error) {
  if (text == "none") {
    choice->kind.reset();
    return true;
  }
  OptimizerKind kind;
  if (!AbslParseFlag(text, &kind, error)) {
    *error = "use none, sgd, adam or adamw";
    return false;
  }
  choice->kind = kind;
  return true;
}

inline std::string AbslUnparseFlag(const OptimizerChoice& choice) {
  return choice.kind.has_value() ? AbslUnparseFlag(*choice.kind) : "none";
}

}  // namespace cddp

#endif  // WORKER_OPTIMIZER_OPTIMIZER_CHOICE_H_
