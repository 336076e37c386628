// What a worker trains on: images, text or arrays.

#ifndef WORKER_TRAINER_TRAINING_DATA_H_
#define WORKER_TRAINER_TRAINING_DATA_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/gpt_options.h"
#include "worker/model/training_model.h"

namespace cddp {

struct TrainingDataOptions {
  std::string model;     // it decides the kind
  std::string data_dir;  // of images
  std::string data;      // of text or arrays
  GptOptions gpt;
  uint64_t train_examples = 0;  // 0: all
  uint64_t test_examples = 0;
};

class TrainingData {
 public:
  // Errors of the data sets' loaders; InvalidArgument if the model has no data named.
  static absl::StatusOr<std::unique_ptr<TrainingData>> Load(const TrainingDataOptions& options);
  virtual ~TrainingData() = default;

  // For the sampler: how many examples an epoch has, and how far apart they begin.
  virtual uint64_t train_examples() const = 0;
  virtual uint32_t stride() const = 0;

  // crc32c of what is learnt: all workers must have it alike.
  virtual uint32_t checksum() const = 0;

  // A model that learns them; it must not outlive this.
  virtual absl::StatusOr<std::unique_ptr<TrainingModel>> MakeModel(const ModelOptions& options) const = 0;
};

}  // namespace cddp

#endif  // WORKER_TRAINER_TRAINING_DATA_H_
