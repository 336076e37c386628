// The identity of a training. A run has a name, random or given, from its first start on; servers, workers,
// checkpoints, state folders and the report hold it. A process that meets another run's name, or none although its own
// run has begun, says so and stops: a missing state is never taken for a first start.

#ifndef COMMON_AGREEMENT_RUN_IDENTITY_H_
#define COMMON_AGREEMENT_RUN_IDENTITY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cddp {

// What a joining process knows about the run in which it takes part.
enum class RunClaim {
  kAny,    // nothing: it takes the server's run; its name is a proposal for a server without one
  kNamed,  // it is the named one, which may not have begun yet
  kBegun,  // it is the named one, and has begun: a server that holds none has lost its state
};

struct RunIdentity {
  std::string name;  // empty: not known
  RunClaim claim = RunClaim::kAny;
};

// A random name: 16 hexadecimal digits.
std::string NewRunName();

// InvalidArgument naming `flag` unless the name is 1 to 64 letters, digits, dots, dashes and underscores.
absl::Status CheckRunName(absl::string_view flag, absl::string_view name);

}  // namespace cddp

#endif  // COMMON_AGREEMENT_RUN_IDENTITY_H_
