// All that a worker needs to continue between two steps as if it had never been away, bit for bit, and the file that
// holds it.
//
// A file is the magic number, the format, fields and arrays with their lengths, and the crc32c of all bytes before it.

#ifndef WORKER_CHECKPOINT_CHECKPOINT_H_
#define WORKER_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/files/durable_file.h"
#include "worker/exchange/exchange_state.h"

namespace cddp {

// The sampler's position follows from the step.
struct WorkerCheckpoint {
  uint64_t fingerprint = 0;    // of the ParameterLayout
  std::string run;             // name of the run (common/agreement/run_identity.h)
  std::string arithmetic;      // kind of arithmetic that made it, "name=value" separated by spaces
  std::string flags;           // the flags on which the bits of the run depend, "--flag=value" separated by spaces
  ExchangeState exchange;      // step, versions, residual, velocity, thresholds
  std::vector<float> weights;  // the replica
  std::string model;           // TrainingModel::State
  std::string optimizer;       // WorkerOptimizer::State; empty where the servers' optimizer steps
  std::string totals;          // of the epoch so far
};

// Passes the bytes, part by part, to `write`, and returns its first error; after an error it is not called again.
using WriteBytes = absl::FunctionRef<absl::Status(absl::string_view bytes)>;
absl::Status Append(const WorkerCheckpoint& checkpoint, WriteBytes write);

// Errors of the file.
absl::Status Append(const WorkerCheckpoint& checkpoint, NewFile* file);

// DataLoss or FailedPrecondition as below, naming `name`.
absl::StatusOr<WorkerCheckpoint> ParseCheckpoint(absl::string_view bytes, const std::string& name);

// NotFound if there is no such file, errno's status, such as PermissionDenied, if it cannot be opened; DataLoss for any
// damage, with its description; FailedPrecondition for the file of another release. All name the path.
absl::StatusOr<WorkerCheckpoint> ReadCheckpoint(const std::string& path);

// InvalidArgument with the difference if the checkpoint is of another model or a run with other flags.
absl::Status CheckFits(const WorkerCheckpoint& checkpoint, uint64_t fingerprint, const std::string& flags);

}  // namespace cddp

#endif  // WORKER_CHECKPOINT_CHECKPOINT_H_
