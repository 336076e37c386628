// The worker's optimizer for arrays in a GPU's memory: worker/optimizer's formulas as LibTorch's operations on flat
// tensors, with the same results except rounding.

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

// `weights`, on the device: the initial published weights. It holds 8 bytes per element there, 4 more with momentum, 8
// more for Adam, and up to 8 more if parameter groups differ. Parts have the lengths in which the backward pass
// completes them, but at least a million elements. The host never waits in a step: only the device knows whether a
// part is finite, so a skipped step still counts in schedules and in Adam's bias correction. Errors of
// WorkerOptimizer::Create, and Internal for LibTorch's.
absl::StatusOr<std::unique_ptr<LocalOptimizer>> MakeTensorOptimizer(const WorkerOptimizerOptions& options,
                                                                    const ParameterLayout& layout, const Device& device,
                                                                    absl::Span<float> weights);

}  // namespace cddp

#endif  // WORKER_MODEL_TENSOR_OPTIMIZER_H_
