// One training step's traffic: gradients in, changed weights out.
//
// Holds what a worker has not sent yet (the residual) and one compressor a bucket. Buckets are compressed last first,
// the order in which the backward pass fills them, and each is pushed as soon as it is compressed; answers are applied
// as they come.

#ifndef WORKER_CLIENT_GRADIENT_EXCHANGE_H_
#define WORKER_CLIENT_GRADIENT_EXCHANGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/compress/bucket_compressor.h"
#include "common/layout/parameter_layout.h"
#include "worker/client/cluster_client.h"

namespace cddp {

struct GradientExchangeOptions {
  CompressorOptions compressor;  // ratio 1: dense
  double residual_decay = 1;  // the residual is multiplied by it before each step (SparseLoCo); 1: nothing is forgotten
  uint64_t small_tensor_elements = 0;  // tensors smaller than this are sent whole
};

// What one step cost.
struct StepTraffic {
  double compress_seconds = 0;
  double exchange_seconds = 0;  // waiting for answers, and applying them
  uint64_t pushed_bytes = 0;    // encoded updates; headers of gRPC and TCP not counted
  uint64_t pulled_bytes = 0;
  uint64_t selected = 0;     // elements pushed
  double residual_norm = 0;  // Euclidean
  bool refused = false;      // a gradient somewhere was not finite: the weights stay as they were
};

// Not thread-safe; one per worker.
class GradientExchange {
 public:
  // `client` must outlive this. InvalidArgument for compressor options that make no sense.
  static absl::StatusOr<std::unique_ptr<GradientExchange>> Create(const ParameterLayout& layout,
                                                                  const GradientExchangeOptions& options,
                                                                  ClusterClient* client);

  // Step 0: rank 0 gives the weights (`is_source`), the others receive them. `weights` has total_elements().
  absl::Status Initialise(absl::Span<float> weights, bool is_source);

  // Joins a running training: takes the published weights as they are.
  absl::Status CatchUp(absl::Span<float> weights);

  // Pushes `gradients` (total_elements(), mean over this worker's batch) and adds the answers to `weights`. If any
  // gradient is not finite, the step is refused at all workers alike: residual and weights stay as they were.
  absl::StatusOr<StepTraffic> Step(absl::Span<const float> gradients, absl::Span<float> weights);

  // Number of the step that the next call of Step makes, from 1. In synchronous training it is the largest version of
  // the replica, so it runs ahead when rounds close without this worker.
  uint64_t step() const { return step_; }

  // What has not been sent yet; total_elements().
  absl::Span<const float> residual() const { return residual_; }

  // Writes and reads step and residual (worker/client/residual_file.h). A restarted worker calls CatchUp, then Restore;
  // it needs a file of the same layout.
  absl::Status Save(const std::string& path) const;
  absl::Status Restore(const std::string& path);

 private:
  GradientExchange(const ParameterLayout& layout, double residual_decay, ClusterClient* client)
      : layout_(layout),
        residual_decay_(static_cast<float>(residual_decay)),
        client_(*client),
        residual_(layout.total_elements()),
        updates_(layout.bucket_count()),
        versions_(layout.bucket_count()) {}

  // Compresses all buckets into updates_; false if a gradient is not finite (and the residual is as before).
  bool CompressAll(absl::Span<const float> gradients, StepTraffic* traffic);
  void TakeBack(uint32_t bucket);
  absl::Status Apply(uint32_t bucket, const PulledUpdate& answer, absl::Span<float> weights, StepTraffic* traffic);
  // Pushes updates_ of all buckets, then applies the answers.
  absl::Status PushAndApply(bool non_finite, absl::Span<float> weights, StepTraffic* traffic);

  const ParameterLayout layout_;
  const float residual_decay_;
  ClusterClient& client_;
  std::vector<float> residual_;
  std::vector<std::string> updates_;  // by bucket: what this step pushes
  std::vector<std::unique_ptr<BucketCompressor>> compressors_;
  std::vector<uint64_t> versions_;  // by bucket, of the replica
  uint64_t step_ = 0;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_GRADIENT_EXCHANGE_H_
