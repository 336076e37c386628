// The bucket engine of an NVIDIA GPU: gradients, residuals, velocities and weights lie in device memory, and only
// encoded bytes cross the bus. Its bytes and weights are the host engine's (worker/buckets/host_buckets.h) bit for bit.
//
// Streams. The model has one, the caller's; the engine has its own. The host never waits for the model's stream within
// a step:
//   - Encode: the engine's stream waits for the bucket's ready token (RecordReady, cuda_stream.h); without a token, for
//     all work given to the model's stream until then. A thread of the engine calls `done` once the bytes are in host
//     memory.
//   - Apply: follows the bucket's encoding on the engine's stream. For a bucket not encoded since Bind (a mark) it
//     waits as Encode does without a token. `done` is called once the addition is queued, before it is made.
//   - The next forward pass: WaitForWeights makes its stream wait for all replies that were applied.
//   - EncodeWeights and SetWeights come between two steps: they wait for the model's stream, and the host waits for
//     them.
//   - ClearWeights waits for the model's stream; the host does not wait.
//   - State and SetState wait for the engine's stream.
//   - Bind does not wait. It makes the engine's device the current one of the calling thread, the exchange's.
//
// The buckets that are ready when a batch begins share one launch of each kernel; while a batch is under way, the next
// one gathers (device_buckets.h). A bucket without a token is ready when all before it are.
//
// No CUDA and no LibTorch here: pointers and streams are the caller's, so that tensors of any framework can be used.

#ifndef WORKER_CUDA_CUDA_BUCKETS_H_
#define WORKER_CUDA_CUDA_BUCKETS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/layout/parameter_layout.h"
#include "worker/buckets/gradient_compressor.h"
#include "worker/exchange/bucket_engine.h"

namespace cddp {

struct CudaBucketsOptions {
  int device = 0;          // CUDA's number of the GPU
  void* stream = nullptr;  // the model's cudaStream_t; null: the legacy default stream
};

// Counts of a run, for tests and reports.
struct CudaCounts {
  uint64_t encode_batches = 0;  // buckets that were ready together are one batch: one launch of each kernel
  uint64_t apply_batches = 0;
  uint64_t searches = 0;       // buckets whose carried threshold did not fit
  uint64_t synchronising = 0;  // waits of the host for the model's stream: none within a step
};

// Threads: as BucketEngine; in addition WaitForWeights, CheckLoss and counts, see there.
class CudaBuckets : public BucketEngine {
 public:
  // Makes all further work on `stream` (a cudaStream_t of the engine's device) wait for everything that Apply has
  // written; the host does not wait. Any thread, after the exchange's Finish has returned. Internal for a device's
  // error, including one that occurred after `done`.
  virtual absl::Status WaitForWeights(void* stream) = 0;

  // The device address of the step's loss (one float), which is written before the first gradient is ready: if it is
  // NaN or infinite, every bucket of the step is encoded as one whose gradient is not finite, and nothing changes. So
  // the host need not read the loss before the backward pass. Null: no check, which is also the state after each step.
  // Call it between two steps, before the exchange's Begin; any thread.
  virtual void CheckLoss(const float* loss) = 0;

  // Any thread.
  virtual CudaCounts counts() const = 0;
};

// Device memory: 8 bytes per element for the residual, 8 more with momentum correction, and some for the elements sent;
// pinned host memory for the bytes (docs/gpu.md). InvalidArgument as HostBuckets::Create; Unimplemented, with the
// flag's name, for options not supported on a GPU (docs/gpu.md), and in a build without CUDA (CMake option CDDP_CUDA);
// Unavailable without a GPU; ResourceExhausted if memory is short. A device's error within a step is returned as
// Internal by Apply or WaitForWeights, and Encode then ends the step as if the gradient were not finite.
absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeCudaBuckets(const ParameterLayout& layout,
                                                             const GradientCompressorOptions& options,
                                                             uint32_t worker_count,
                                                             const CudaBucketsOptions& cuda_options);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_BUCKETS_H_
