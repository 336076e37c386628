// The bucket engine of an NVIDIA GPU: gradients, residuals, velocities and weights lie in device memory, and only
// encoded bytes cross the bus. Its bytes and weights are the host engine's (worker/buckets/host_buckets.h) bit for bit.
//
// Streams. The model has one, the caller's; the engine has one of its own. The host never waits for the model's stream
// within a step:
//   - Encode: the engine's stream waits for the bucket's ready token (RecordReady, cuda_stream.h); without a token, for
//     all that the model's stream was given until then. `done` is called by a thread of the engine once the bytes are
//     in the host's memory.
//   - Apply: comes after the bucket's encoding on the engine's stream. A bucket that was not encoded since Bind (a
//   mark)
//     waits as Encode does without a token. `done` is called once the addition is queued, not once it is made.
//   - The next forward pass: WaitForWeights makes the stream that it runs on wait for all that was applied.
//   - EncodeWeights and SetWeights come between two steps: they wait for the model's stream, and the host waits for
//   them.
//     ClearWeights waits for the model's stream, and the host for nothing. State and SetState wait for the engine's.
//   - Bind waits for nothing. The engine's device becomes the current one of the thread that calls it, the exchange's.
//
// What is ready when a batch begins goes into one launch of each kernel; while a batch is under way, others gather
// (device_buckets.h). Without a token of its own, a bucket is ready when all before it are.
//
// No CUDA and no LibTorch here: pointers and streams are the caller's, so that any framework's tensors will do.

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
  int device = 0;          // as CUDA counts them
  void* stream = nullptr;  // the model's cudaStream_t; null: the legacy default stream
};

// What a run did, for tests and reports.
struct CudaCounts {
  uint64_t encode_batches = 0;  // buckets that were ready together are one batch: one launch of each kernel
  uint64_t apply_batches = 0;
  uint64_t searches = 0;       // buckets whose carried threshold did not fit
  uint64_t synchronising = 0;  // times that the host waited for the model's stream: never within a step
};

// Threads: as BucketEngine; in addition WaitForWeights, CheckLoss and counts, see there.
class CudaBuckets : public BucketEngine {
 public:
  // Makes what `stream` (a cudaStream_t of the engine's device) is given from now on wait for all that Apply has
  // written; the host does not wait. Any thread, when the exchange's Finish has returned. Internal for a device's
  // error, of which this is also the place to hear if it came after `done`.
  virtual absl::Status WaitForWeights(void* stream) = 0;

  // The device address of the step's loss (one float), which is written before the first gradient is ready: if it is
  // NaN or infinite, every bucket of the step is encoded as one whose gradient is not finite, and nothing changes. So
  // nobody has to read the loss before the backward pass. Null: not looked at, and so it is again after each step.
  // Called between two steps, before the exchange's Begin; any thread.
  virtual void CheckLoss(const float* loss) = 0;

  // Any thread.
  virtual CudaCounts counts() const = 0;
};

// Device memory: 8 bytes an element for the residual, 8 more with momentum correction, and some of what is sent; pinned
// host memory for the bytes (docs/gpu.md). InvalidArgument as HostBuckets::Create; Unimplemented, naming the flag, for
// what is not done on a GPU (docs/gpu.md), and in a build without CUDA (CMake option CDDP_CUDA); Unavailable without a
// GPU; ResourceExhausted without memory. A device's error within a step comes as Internal from Apply or WaitForWeights,
// and Encode ends the step as if the gradient were not finite.
absl::StatusOr<std::unique_ptr<CudaBuckets>> MakeCudaBuckets(const ParameterLayout& layout,
                                                             const GradientCompressorOptions& options,
                                                             uint32_t worker_count,
                                                             const CudaBucketsOptions& cuda_options);

}  // namespace cddp

#endif  // WORKER_CUDA_CUDA_BUCKETS_H_
