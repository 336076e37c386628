// The file of a trained model, which worker 0 saves.

#ifndef WORKER_TRAINER_SAVE_MODEL_H_
#define WORKER_TRAINER_SAVE_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "worker/trainer/trainer.h"

namespace cddp {

// Call it before the training: InvalidArgument if a model of `elements` elements could not be saved at --model_output.
// OK if this worker saves none.
absl::Status CheckModelOutput(const TrainerOptions& options, uint64_t elements);

// Call it after the training: saves the model with `write`, with retries up to --save_timeout. Internal if it could not
// be saved. OK if this worker saves none.
absl::Status SaveModel(const TrainerOptions& options,
                       const std::function<absl::Status(const std::string& path)>& write);

}  // namespace cddp

#endif  // WORKER_TRAINER_SAVE_MODEL_H_
