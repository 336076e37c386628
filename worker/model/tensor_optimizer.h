// The worker's optimizer where the model's arrays are a GPU's: worker/optimizer's formulas as LibTorch's operations on
// flat tensors, to the same numbers but for rounding.

#ifndef WORKER_MODEL_TENSOR_OPTIMIZER_H_
#define WORKER_MODEL_TENSOR_OPTIMIZER_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "worker/model/device.h"
#include "worker/optimizer/local_optimizer.h"
#include "worker/optimizer/worker_optimizer.h"

namespace cddp {

// `weights`, on the device: the published weights to begin with. Holds 8 bytes an element there, 4 with momentum, 8 of
// Adam, and up to 8 where parameter groups differ. Parts are as long as the backward pass makes them, but at least
// a million elements. Nothing waits for the device in a step: whether a part is finite is known there alone, so a
// step that is left out counts in schedules and in Adam's bias correction all the same. Errors of
// WorkerOptimizer::Create, and Internal for LibTorch's.
absl::StatusOr<std::unique_ptr<LocalOptimizer>> MakeTensorOptimizer(const WorkerOptimizerOptions& options,
                                                                    const ParameterLayout& layout, const Device& device,
                                                                    absl::Span<float> weights);

}  // namespace cddp

#endif  // WORKER_MODEL_TENSOR_OPTIMIZER_H_
