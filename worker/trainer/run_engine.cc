#include "worker/trainer/run_engine.h"

#include <utility>
#include <vector>

#include "worker/buckets/checked_buckets.h"
#include "worker/buckets/host_buckets.h"
#include "worker/model/tensor_optimizer.h"
#include "worker/optimizer/parameter_groups.h"
#include "worker/optimizer/worker_optimizer.h"

namespace cddp {

absl::StatusOr<RunEngine> MakeRunEngine(const TrainerOptions& options, const ParameterLayout& layout,
                                        const Device& device) {
  GradientCompressorOptions push = options.exchange;
  if (options.optimizer.kind.has_value()) push.clip_norm = 0;  // it comes before the optimizer, not before the push
  const uint32_t workers = options.cluster.worker_count;
  RunEngine run;
  if (device.is_gpu) {
    absl::StatusOr<std::unique_ptr<CudaBuckets>> gpu =
        MakeCudaBuckets(layout, push, workers, {device.gpu, kModelStream});
    if (absl::IsUnimplemented(gpu.status())) return absl::InvalidArgumentError(gpu.status().message());
    if (!gpu.ok()) return gpu.status();
    run.gpu = gpu->get();
    run.engine = *std::move(gpu);
  }
  if (run.engine != nullptr && !options.check_engine) return run;
  absl::StatusOr<std::unique_ptr<HostBuckets>> host = HostBuckets::Create(layout, push, workers);
  if (!host.ok()) return host.status();
  if (!options.check_engine) {
    run.engine = *std::move(host);
    return run;
  }
  if (run.engine == nullptr) run.engine = *HostBuckets::Create(layout, push, workers);
  run.engine = std::make_unique<CheckedBuckets>(
      layout, std::move(run.engine), *std::move(host),
      [device](absl::Span<const float> from, absl::Span<float> to) { return CopyToHost(device, from, to); });
  return run;
}

absl::StatusOr<std::unique_ptr<LocalOptimizer>> MakeRunOptimizer(const TrainerOptions& options,
                                                                 const ParameterLayout& layout, const Device& device,
                                                                 absl::Span<float> weights) {
  if (!options.optimizer.kind.has_value()) return nullptr;
  absl::StatusOr<std::vector<ParameterGroup>> groups = ParseParameterGroups(options.param_groups);
  if (!groups.ok()) return groups.status();
  const WorkerOptimizerOptions own = {options.own_optimizer(), *std::move(groups), options.exchange.clip_norm,
                                      options.overlap > 0};
  if (device.is_gpu) return MakeTensorOptimizer(own, layout, device, weights);
  return WorkerOptimizer::Create(own, layout, weights);
}

}  // namespace cddp
