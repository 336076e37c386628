// A server's options by the names of their flags (common/agreement).

#ifndef SERVER_SERVER_SETTINGS_H_
#define SERVER_SERVER_SETTINGS_H_

#include "absl/types/span.h"
#include "common/agreement/binding.h"
#include "server/server.h"

namespace cddp {

// Every member of the options that is no struct of options itself, once.
absl::Span<const Binding<ServerOptions>> ServerBindings();

}  // namespace cddp

#endif  // SERVER_SERVER_SETTINGS_H_
