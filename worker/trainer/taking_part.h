// Checks whether a worker may take part in a training, with or without a checkpoint.

#ifndef WORKER_TRAINER_TAKING_PART_H_
#define WORKER_TRAINER_TAKING_PART_H_

#include <string>

#include "absl/status/status.h"
#include "common/agreement/run_identity.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/trainer/trainer.h"

namespace cddp {

// Before it joins: the checkpoint's run becomes this worker's. InvalidArgument if --run names another.
absl::Status TakeRunOf(const TrainerOptions& options, const WorkerCheckpoint& checkpoint, RunIdentity* run);

// Once it has joined. InvalidArgument, saying what to do: if the servers' --consistency does not do for its flags; if
// their optimizer would lose what a sparse push leaves out; if it has taken part before and its checkpoint is gone.
absl::Status CheckTakesPart(const TrainerOptions& options, const GrpcCluster& cluster, bool has_checkpoint);

// A warning in the log if the checkpoint was made by another kind of arithmetic (worker/model/arithmetic.h) than
// `arithmetic`.
void NoteOtherArithmetic(const WorkerCheckpoint& checkpoint, const std::string& arithmetic);

}  // namespace cddp

#endif  // WORKER_TRAINER_TAKING_PART_H_
