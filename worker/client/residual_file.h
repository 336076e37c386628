// The residual on disk, so that a restarted worker sends what it had not sent yet.

#ifndef WORKER_CLIENT_RESIDUAL_FILE_H_
#define WORKER_CLIENT_RESIDUAL_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace cddp {

struct ResidualState {
  uint64_t fingerprint = 0;   // of the ParameterLayout
  uint64_t step = 0;          // next step
  std::vector<float> values;  // the residual, and with momentum correction the velocity after it
};

// Replaces `path` as a whole (write to a neighbour, fsync, rename, fsync of the folder): a crash leaves the old file or
// the new one.
absl::Status WriteResidualFile(const std::string& path, const ResidualState& state);

// NotFound if there is no such file; DataLoss, saying what is wrong, if it is damaged or of another format.
absl::StatusOr<ResidualState> ReadResidualFile(const std::string& path);

}  // namespace cddp

#endif  // WORKER_CLIENT_RESIDUAL_FILE_H_
