// The device that a run's options select here.

#ifndef WORKER_TRAINER_RUN_DEVICE_H_
#define WORKER_TRAINER_RUN_DEVICE_H_

#include "absl/status/statusor.h"
#include "worker/model/device.h"
#include "worker/trainer/trainer.h"

namespace cddp {

// As ChooseDevice, and by what the rest of the options need: a GPU compresses, so that dense gradients (--ratio=1) take
// the processors with --device=auto, and are an InvalidArgument with --device=cuda.
absl::StatusOr<ChosenDevice> RunDevice(const TrainerOptions& options, const GpusFound& found);

}  // namespace cddp

#endif  // WORKER_TRAINER_RUN_DEVICE_H_
