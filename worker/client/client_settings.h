// A client's options by name, as text: those that a program sets, and those that the servers compare.

#ifndef WORKER_CLIENT_CLIENT_SETTINGS_H_
#define WORKER_CLIENT_CLIENT_SETTINGS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/client/client_options.h"

namespace cddp {

struct ClientOptionHelp {
  const char* name;  // "ratio"
  const char* help;
};

// Every option, in the order of their description.
absl::Span<const ClientOptionHelp> ClientOptionNames();

// NotFound for an unknown name, with the one that was probably meant; InvalidArgument for a value that is not
// understood.
absl::Status SetClientOption(absl::string_view name, absl::string_view value, ClientOptions* options);
absl::StatusOr<std::string> GetClientOption(absl::string_view name, const ClientOptions& options);

// Adds a fact of the program that all workers must have alike. InvalidArgument unless both are words.
absl::Status AddFact(absl::string_view name, absl::string_view value, ClientOptions* options);

// InvalidArgument for options that make no sense together.
absl::Status Validate(const ClientOptions& options);

// The settings that all workers must have alike, "--name=value" separated by spaces; `options.bucket_bytes` must be the
// value used. The second function: the settings that a saved state belongs to.
std::string DescribeForServers(const ClientOptions& options);
std::string DescribeForState(const ClientOptions& options);

}  // namespace cddp

#endif  // WORKER_CLIENT_CLIENT_SETTINGS_H_
