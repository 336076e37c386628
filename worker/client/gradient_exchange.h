// One training step's traffic: gradients in, changed weights out.
//
// A thread of its own compresses (gradient_compressor.h) and pushes each bucket as soon as its gradients are complete,
// last first, the order in which the backward pass fills them, and applies the answers as they come, while the backward
// pass goes on with the buckets before.

#ifndef WORKER_CLIENT_GRADIENT_EXCHANGE_H_
#define WORKER_CLIENT_GRADIENT_EXCHANGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/trace/trace_file.h"
#include "worker/client/cluster_client.h"
#include "worker/client/gradient_compressor.h"
#include "worker/client/push_batch.h"
#include "worker/client/step_mailbox.h"

namespace cddp {

// What one step cost.
struct StepTraffic {
  double compress_seconds = 0;  // also while the backward pass goes on
  double exchange_seconds = 0;  // of the training thread, waiting in Finish for anything but compression
  uint64_t pushed_bytes = 0;    // encoded updates; headers of gRPC and TCP not counted
  uint64_t pulled_bytes = 0;
  uint64_t selected = 0;     // elements pushed
  double residual_norm = 0;  // Euclidean
  bool refused = false;      // a gradient somewhere was not finite: its buckets stay as they were
  uint64_t missed = 0;       // synchronous training: steps that the others made without this worker
  uint32_t replaced = 0;     // buckets whose weights came whole
};

// Where a worker stands between two steps, but for the weights.
struct ExchangeState {
  uint64_t step = 0;               // the coming one
  std::vector<uint64_t> versions;  // of the replica, by bucket
  GradientCompressorState compressor;
};

// Not thread-safe; one per worker. Between Begin and Finish nothing but Ready may be called, and the exchange's thread
// reads gradients and writes weights of the elements that are ready.
class GradientExchange {
 public:
  // `client` must outlive this. InvalidArgument for compressor options that make no sense.
  static absl::StatusOr<std::unique_ptr<GradientExchange>> Create(const ParameterLayout& layout,
                                                                  const GradientCompressorOptions& options,
                                                                  ClusterClient* client);

  // Step 0: rank 0 gives the weights (`is_source`), the others receive them. `weights` has total_elements().
  absl::Status Initialise(absl::Span<float> weights, bool is_source);

  // Joins a running training: takes the published weights as they are. Where all workers contribute to every round,
  // brings all buckets to the newest version of any: see RollForward.
  absl::Status CatchUp(absl::Span<float> weights);

  // Writes each bucket's compression, exchange and application from the next step on; null: nothing.
  void set_trace(std::shared_ptr<TraceFile> trace) { trace_ = std::move(trace); }

  // Ends the thread; calls under way are left to the client, which ends them.
  ~GradientExchange();

  // Begins a step. Both spans have total_elements() and stay valid until Finish. `refuse`: the loss is not finite, so
  // push nothing but a mark for every bucket: the step is then refused at all workers alike, whole.
  void Begin(absl::Span<const float> gradients, absl::Span<float> weights, bool refuse = false);

  // The gradients of all elements from `begin` on are complete, and nothing reads their weights any more until Finish
  // has returned. Buckets are pushed in descending order, so that what is pushed depends on the gradients alone.
  void Ready(uint64_t begin) { mailbox_->Ready(begin); }

  // Everything is ready; waits until every answer is applied. A bucket whose gradient is not finite at one worker is
  // refused at all alike, and so are all that this worker had not pushed by then (those before it): their residuals and
  // weights stay as they were.
  absl::StatusOr<StepTraffic> Finish();

  // Begin, Ready and Finish in one, with gradients that are complete: if any is not finite, the step is refused whole.
  absl::StatusOr<StepTraffic> Step(absl::Span<const float> gradients, absl::Span<float> weights);

  // Number of the step that the next call of Step makes, from 1. In synchronous training it is the largest version of
  // the replica, so it runs ahead when rounds close without this worker.
  uint64_t step() const { return step_; }

  // What has not been sent yet; total_elements().
  absl::Span<const float> residual() const { return compressor_->residual(); }

  // For a checkpoint, between two steps. A restarted worker calls SetState in the place of CatchUp, with the weights
  // that it had then, and makes the steps since then once more: in synchronous training the servers answer what they
  // answered the first time, and count nothing twice. InvalidArgument for a state of another model or other options.
  ExchangeState State() const { return {step_, versions_, compressor_->State()}; }
  absl::Status SetState(const ExchangeState& state);

 private:
  GradientExchange(const ParameterLayout& layout, std::unique_ptr<GradientCompressor> compressor,
                   ClusterClient* client);

  enum class Content { kGradients, kWeights, kNothing, kRollForward };

  void Open(Content content, absl::Span<const float> gradients, absl::Span<float> weights, bool refuse);
  void Run();      // the thread
  void RunStep();  // from the first push to the last answer
  void Push(uint32_t bucket);
  void Send(uint32_t bucket, bool non_finite);  // updates_[bucket], with the next call
  void Flush();                                 // makes that call, if anything waits for it
  // Makes the replica one of one version. It is not after a crash of everything in the middle of a step, or where the
  // others went on without this worker: buckets may then be a version apart. Contributes nothing to those behind until
  // they are at the newest version; nothing that was ever answered is lost.
  void RollForward();
  // The bucket's bytes of this step, into *update; false if they are not finite.
  bool Encode(uint32_t bucket, std::string* update);
  absl::Status Apply(uint32_t bucket, PulledUpdate* answer);
  void Trace(absl::string_view name, uint32_t bucket, absl::Time begin, absl::Time end);  // needs trace_

  const ParameterLayout layout_;
  const std::unique_ptr<GradientCompressor> compressor_;
  ClusterClient& client_;
  std::vector<std::string> updates_;  // by bucket: memory for what is pushed; empty while it is under way
  std::vector<uint64_t> versions_;    // by bucket, of the replica
  uint64_t step_ = 0;
  PushBatch batch_;  // to be sent; empty between two steps

  // Of the step under way; handed over by mailbox_.
  Content content_ = Content::kGradients;
  bool refuse_ = false;  // push marks from here on
  absl::Span<const float> gradients_;
  absl::Span<float> weights_;
  double residual_sq_ = 0;
  StepTraffic traffic_;
  absl::Time compressed_;                       // when the last bucket was
  absl::Time first_push_;                       // of a call; infinite future: none yet
  absl::Status status_;                         // the first error
  std::shared_ptr<TraceFile> trace_;            // shared with calls likewise; null: none
  const std::shared_ptr<StepMailbox> mailbox_;  // shared with calls that may outlive this
  std::thread thread_;
};

}  // namespace cddp

#endif  // WORKER_CLIENT_GRADIENT_EXCHANGE_H_
