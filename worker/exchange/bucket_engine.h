// Everything that touches elements: gradients, residuals, the replica of the weights. The exchange decides what happens
// to which bucket and when (step_driver.h); an engine does it, on the host (worker/buckets/host_buckets.h) or on a GPU.

#ifndef WORKER_EXCHANGE_BUCKET_ENGINE_H_
#define WORKER_EXCHANGE_BUCKET_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/bytes/shared_bytes.h"
#include "common/transport/exchange_message.h"
#include "worker/exchange/send_level.h"

namespace cddp {

// Marks when a bucket's gradient is complete: null on the host, where it already is; an event of a stream on a GPU. The
// engine for which the token is made knows its type.
using ReadyToken = std::shared_ptr<const void>;

// A bucket's gradient in the form in which it is pushed.
struct EncodedBucket {
  bool finite = true;  // false: the gradient holds NaN or infinity, `update` is empty, the residual is unchanged
  SharedBytes update;
  uint32_t selected = 0;                                  // elements in `update`
  double residual_sq = 0;                                 // sum of squares of the bucket's new residual
  std::optional<uint32_t> replica_crc32c = std::nullopt;  // of the bucket's weights before the step, if asked for
};

// Everything on which later steps' bytes depend, besides options, gradients and weights.
struct BucketEngineState {
  double ratio = 0;               // of the last step
  std::vector<float> residual;    // parameter_elements()
  std::vector<float> velocity;    // likewise; empty without momentum correction
  std::vector<float> thresholds;  // by bucket of parameters; see BucketCompressor::threshold

  bool operator==(const BucketEngineState&) const = default;
};

// Called from one thread, the exchange's. Encode and Apply may complete later: `done` is called exactly once, from any
// thread, perhaps before the call returns. While a bucket is being encoded or applied, no other call names it.
class BucketEngine {
 public:
  virtual ~BucketEngine() = default;

  // Sets the memory of gradients and weights; both have total_elements(), in the engine's kind of memory (a GPU's
  // addresses are never read by the host), and stay valid until the next call. `gradients` may be empty if none are
  // encoded.
  virtual void Bind(absl::Span<const float> gradients, absl::Span<float> weights) = 0;

  // Clipping needs the norm of the whole gradient, so no bucket can be encoded before all are complete.
  virtual bool needs_whole_gradient() const = 0;

  // Encodings that may be under way at a time. An engine that encodes within the call returns 1, so that one bucket is
  // sent before the next one is encoded.
  virtual uint32_t most_encodings() const = 0;

  // Between two steps: sets the level from the next step on. Unimplemented by an engine with a fixed level.
  virtual absl::Status SetLevel(const SendLevel& level) {
    return absl::UnimplementedError("this engine cannot change how much it sends: give --ratio a number");
  }

  // Begins the gradients of `step`, from 1. The whole gradient is complete if needs_whole_gradient().
  virtual void BeginGradients(uint64_t step) = 0;

  // Compresses the bucket's gradient with error feedback, once `ready` is; of a bucket of buffers
  // (ParameterLayout::bucket_kind), encodes it whole as a dense fp32 update, without a residual.
  using Encoded = std::function<void(EncodedBucket)>;
  virtual void Encode(uint32_t bucket, const ReadyToken& ready, bool with_checksum, Encoded done) = 0;

  // Adds an encoded update, which will not be pushed, back to the bucket's residual; buffers have none.
  virtual void TakeBack(uint32_t bucket, const SharedBytes& update) = 0;

  // Adds a reply's updates to the bucket's weights, or sets these if the reply replaces them. `pushed` is the update
  // that it answers, which returns to the residual if it was refused; empty: none was pushed. For bytes that are no
  // updates of the bucket, `done` gets InvalidArgument, and the weights may be partly changed.
  using Applied = std::function<void(absl::Status)>;
  virtual void Apply(uint32_t bucket, const PushReply& reply, const SharedBytes& pushed, Applied done) = 0;

  // No further call follows for now: requests of Encode and Apply that were gathered for a batch begin now at the
  // latest.
  virtual void Flush() {}

  // The bucket's weights as a dense fp32 update.
  virtual SharedBytes EncodeWeights(uint32_t bucket) = 0;
  virtual void SetWeights(uint32_t bucket, absl::Span<const float> weights) = 0;  // as many as the bucket is long
  virtual void ClearWeights(uint32_t bucket) = 0;                                 // to zero

  // For a checkpoint, between two steps. SetState: InvalidArgument for a state of another model or other options.
  virtual BucketEngineState State() const = 0;
  virtual absl::Status SetState(const BucketEngineState& state) = 0;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_BUCKET_ENGINE_H_
