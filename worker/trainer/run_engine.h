// A run's engine and optimizer, of the kind that its options and its model's device want.

#ifndef WORKER_TRAINER_RUN_ENGINE_H_
#define WORKER_TRAINER_RUN_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/exchange/bucket_engine.h"
#include "worker/model/device.h"
#include "worker/optimizer/local_optimizer.h"
#include "worker/trainer/trainer.h"

namespace cddp {

struct RunEngine {
  std::unique_ptr<BucketEngine> engine;
  CudaBuckets* gpu = nullptr;  // within `engine`, if the device is a GPU
};

// Errors of the engines; InvalidArgument where this build has none for the device.
absl::StatusOr<RunEngine> MakeRunEngine(const TrainerOptions& options, const ParameterLayout& layout,
                                        const Device& device);

// The worker's own optimizer of `weights`, the model's; null if the servers' makes the steps. InvalidArgument for
// groups that make no sense.
absl::StatusOr<std::unique_ptr<LocalOptimizer>> MakeRunOptimizer(const TrainerOptions& options,
                                                                 const ParameterLayout& layout, const Device& device,
                                                                 absl::Span<float> weights);

}  // namespace cddp

#endif  // WORKER_TRAINER_RUN_ENGINE_H_
