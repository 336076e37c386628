// Writes a finished file in one step.

#ifndef WORKER_MODEL_MODEL_FILE_H_
#define WORKER_MODEL_MODEL_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cddp {

// Replaces `path` by `bytes`: after a crash it holds either its old content or all of the new one. The error names the
// path.
absl::Status ReplaceFile(const std::string& path, absl::Span<const char> bytes);

}  // namespace cddp

#endif  // WORKER_MODEL_MODEL_FILE_H_
