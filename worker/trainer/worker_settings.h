// A worker's options, and what it finds out about its run, by the names of its settings (common/agreement).

#ifndef WORKER_TRAINER_WORKER_SETTINGS_H_
#define WORKER_TRAINER_WORKER_SETTINGS_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "common/agreement/binding.h"
#include "worker/trainer/trainer.h"

namespace cddp {

struct RunSettings {
  TrainerOptions options;           // as used: train_examples and bucket_elements are what 0 stood for
  uint32_t data_crc32c = 0;         // of the training examples as used
  uint32_t model_crc32c = 0;        // of the model's file; 0: it comes from none
  uint32_t local_steps_crc32c = 0;  // of the decisions that are repeated; 0: none are
};

// Every member of the options that is no struct of options itself, once.
absl::Span<const Binding<RunSettings>> WorkerBindings();

// What a checkpoint is written under: all that must be the same after a restart, "--flag=value" separated by spaces.
std::string DescribeForCheckpoint(const RunSettings& settings);

// Likewise, what all workers of a training must have alike.
std::string DescribeForServers(const RunSettings& settings);

}  // namespace cddp

#endif  // WORKER_TRAINER_WORKER_SETTINGS_H_
