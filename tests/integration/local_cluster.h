// A cluster inside one test process: real servers on loopback ports, workers as threads, gradients from a function.

#ifndef TESTS_INTEGRATION_LOCAL_CLUSTER_H_
#define TESTS_INTEGRATION_LOCAL_CLUSTER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/layout/parameter_layout.h"
#include "server/server.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {

struct LocalClusterOptions {
  uint32_t workers = 2;
  uint32_t servers = 1;
  ConsistencyOptions consistency;
  OptimizerOptions optimizer;
  double residual_decay = 1;
  absl::Duration lease = absl::Seconds(10);
  CompressorOptions push;
  CompressorOptions publish;
  uint64_t small_tensor_elements = 0;
  uint64_t log_versions = 1;
  bool flush_denormals = false;  // in the workers' threads, as LibTorch does; x86 only
};

// Servers that end with the object. Worker options point to them.
class LocalServers {
 public:
  explicit LocalServers(const LocalClusterOptions& options);

  GrpcClusterOptions ClientOptions(uint32_t rank) const;
  Server& server(uint32_t shard) { return *servers_[shard]; }
  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  LocalClusterOptions options_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::string> addresses_;
};

// The gradient of worker `rank` at `weights` in `step`.
using GradientFunction =
    std::function<void(uint32_t rank, uint64_t step, absl::Span<const float> weights, absl::Span<float> gradient)>;

struct LocalRun {
  std::vector<float> weights;                 // of rank 0; the run checks that all workers' are the same bit for bit
  std::vector<std::vector<float>> residuals;  // by rank
  StepTraffic last_traffic;                   // of rank 0
};

// Runs `steps` steps of all workers against fresh servers from `initial` weights, and checks that the replicas are the
// published weights. Failures are test failures.
LocalRun RunLocalCluster(const LocalClusterOptions& options, const ParameterLayout& layout,
                         const std::vector<float>& initial, uint64_t steps, const GradientFunction& gradient);

}  // namespace cddp

#endif  // TESTS_INTEGRATION_LOCAL_CLUSTER_H_
