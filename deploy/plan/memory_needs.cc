#include "deploy/plan/memory_needs.h"

#include <algorithm>
#include <cmath>

namespace cddp::plan {
namespace {

constexpr double kServerProgram = 64e6;   // without buckets
constexpr double kWorkerProgram = 200e6;  // with LibTorch
constexpr double kFloat = 4;

}  // namespace

MemoryNeeds NeedsOf(const ClusterSetting& setting, const std::vector<Bucket>& buckets, uint32_t servers,
                    uint32_t state_floats) {
  double elements = 0;
  for (const Bucket& bucket : buckets) elements += static_cast<double>(bucket.elements);
  const double owned = std::ceil(static_cast<double>(buckets.size()) / servers) *
                       static_cast<double>(buckets.front().elements);  // every bucket but the last has this length
  const Bucket& longest = buckets.front();
  const double pushed = UpdateBytes(longest.elements, setting.push_ratio, setting.values, setting.indices) /
                        static_cast<double>(longest.elements);  // bytes per element of the model
  MemoryNeeds needs;
  // Published weights, residual and the optimizer's state; contributions stay until their round is complete.
  needs.server_bytes =
      kServerProgram + std::min(owned, elements) * (kFloat * (2 + state_floats) + pushed * setting.workers);
  // Weights, gradients and residual; with local steps the replica, the difference and the inner momentum as well.
  needs.worker_bytes = kWorkerProgram + elements * (kFloat * (setting.local_steps > 1 ? 6 : 3) + pushed);
  return needs;
}

}  // namespace cddp::plan
