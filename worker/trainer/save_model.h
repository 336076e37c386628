// The file of a trained model, which worker 0 saves.

#ifndef WORKER_TRAINER_SAVE_MODEL_H_
#define WORKER_TRAINER_SAVE_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "worker/trainer/trainer.h"

namespace cddp {

// Before the training: could a model of so many elements be saved where --model_output says? InvalidArgument if not. OK
// where this worker saves none.
absl::Status CheckModelOutput(const TrainerOptions& options, uint64_t elements);

// After it: saves the model with `write`, and tries for as long as --save_timeout says. Internal if it could not be
// saved. Likewise OK.
absl::Status SaveModel(const TrainerOptions& options,
                       const std::function<absl::Status(const std::string& path)>& write);

}  // namespace cddp

#endif  // WORKER_TRAINER_SAVE_MODEL_H_
