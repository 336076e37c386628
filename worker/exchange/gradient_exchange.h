// One training step's traffic: gradients in, changed weights out.
//
// Its thread compresses and pushes each bucket as soon as its gradients are complete, last first, as the backward pass
// completes them, and applies the replies as they come, while the backward pass continues with earlier buckets. The
// StepDriver decides the order of work; a BucketEngine accesses the elements, a Cluster the
// network.

#ifndef WORKER_EXCHANGE_GRADIENT_EXCHANGE_H_
#define WORKER_EXCHANGE_GRADIENT_EXCHANGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/sync/thread.h"
#include "common/trace/trace_file.h"
#include "worker/exchange/bucket_engine.h"
#include "worker/exchange/cluster.h"
#include "worker/exchange/exchange_mailbox.h"
#include "worker/exchange/exchange_state.h"
#include "worker/exchange/step_driver.h"

namespace cddp {

// The costs of one step.
struct StepTraffic {
  double compress_seconds = 0;  // time in which buckets were encoded, also during the backward pass
  double exchange_seconds = 0;  // the training thread's wait in Finish, except for compression
  uint64_t pushed_bytes = 0;    // encoded updates; headers of gRPC and TCP not counted
  uint64_t pulled_bytes = 0;
  uint64_t selected = 0;     // elements pushed
  double residual_norm = 0;  // Euclidean
  bool refused = false;      // a gradient somewhere was not finite: its buckets stay unchanged
  uint64_t missed = 0;       // synchronous training: steps that other workers made without this one
  uint32_t replaced = 0;     // buckets whose weights came whole
};

// Not thread-safe; one per worker. Between Begin and Finish nothing but Ready may be called, and the exchange's thread
// reads gradients and writes weights of the elements that are ready.
class GradientExchange {
 public:
  // `cluster` must outlive this.
  GradientExchange(const ParameterLayout& layout, std::unique_ptr<BucketEngine> engine, Cluster* cluster);

  // Ends the thread; the cluster ends calls under way.
  ~GradientExchange();

  // Step 0: rank 0 gives the weights (`is_source`), the others receive them. `weights` has total_elements().
  absl::Status Initialise(absl::Span<float> weights, bool is_source);

  // Joins a running training: takes the published weights while the others continue, and takes part from then
  // on. In synchronous training, brings all buckets to the newest version of any.
  absl::Status CatchUp(absl::Span<float> weights);

  // Traces each bucket's compression, exchange and application from the next step on; null: no trace.
  void set_trace(std::shared_ptr<TraceFile> trace) { trace_ = std::move(trace); }

  // Between two steps, from the training thread; see BucketEngine.
  absl::Status SetLevel(const SendLevel& level) { return engine_->SetLevel(level); }

  // Begins a step. Both spans have total_elements() and stay valid until Finish; after the parameters, `gradients` has
  // the buffers' differences (buffer_difference.h) and `weights` the published buffers, unless the engine was given
  // other arrays for these. `refuse`: the loss is not
  // finite, so push only a mark for every bucket: the whole step is then refused at all workers.
  // `weight`: of this worker's contribution, examples or tokens (CheckWeight); nullopt: 1; 0: it has no examples, so
  // the mean is that of the others, and the residual is not sent.
  void Begin(absl::Span<const float> gradients, absl::Span<float> weights, bool refuse = false,
             std::optional<float> weight = std::nullopt);

  // The gradients of all elements from `begin` on are complete once `token` is, and nothing reads their weights any
  // more until Finish has returned.
  void Ready(uint64_t begin, ReadyToken token = nullptr) { mailbox_->NoteReady(begin, std::move(token)); }

  // Waits, at most `timeout`, until all replies of the step are applied; returns whether they are. Finish must follow.
  bool WaitFor(absl::Duration timeout) { return mailbox_->AwaitDoneFor(timeout); }

  // Says that everything is ready, and waits until every reply is applied. A bucket whose gradient is not finite at one
  // worker is refused at all workers, and so are those that this worker had not pushed by then (earlier ones): their
  // residuals and weights stay unchanged.
  absl::StatusOr<StepTraffic> Finish(ReadyToken token = nullptr);

  // From any thread: Initialise, CatchUp, WaitFor and Finish end at once, those under way too, and return Cancelled.
  // Only the destructor may follow; until then the thread may use the arrays.
  void Cancel() { mailbox_->End(); }

  // Begin, Ready and Finish in one, with gradients in the host's memory that are complete: if any is not finite, the
  // step is refused whole.
  absl::StatusOr<StepTraffic> Step(absl::Span<const float> gradients, absl::Span<float> weights);

  // Number of the step that the next Begin begins, from 1.
  uint64_t step() const { return driver_.step(); }

  // For a checkpoint, between two steps. A restarted worker calls SetState instead of CatchUp, with the weights that it
  // had then, and repeats the steps since: in synchronous training the servers give the original answers, and count
  // nothing twice. InvalidArgument for a state of another model or other options.
  ExchangeState State() const { return {driver_.step(), driver_.versions(), engine_->State()}; }
  absl::Status SetState(const ExchangeState& state);

 private:
  void Run();  // the thread
  // Runs `task` on the thread and waits for it; if it is cancelled, the thread may still be running it.
  absl::Status Await(std::function<absl::Status()> task);
  // In synchronous training: brings all buckets to the newest version of any, which is the coming step.
  absl::Status MakeOneVersion();
  void RunStep(bool refuse, std::optional<float> weight);
  bool Handle(ExchangeMailbox::Event event);  // false: give up
  void Perform(std::vector<StepAction> actions);
  void Perform(BeginGradients& begin);
  void Perform(EncodeBucket& encode);
  void Perform(PushBuckets& push);
  void Perform(TakeBackUpdate& take_back);
  void Perform(ApplyReply& apply);
  void NoteEncoded(uint32_t bucket);
  // Writes a span from `begin` to now to the trace.
  void Trace(absl::string_view name, uint32_t bucket, absl::Time begin) const;

  const ParameterLayout layout_;
  const std::unique_ptr<BucketEngine> engine_;
  Cluster& cluster_;
  std::shared_ptr<TraceFile> trace_;  // shared with calls; null: none
  StepDriver driver_;                 // between two steps the training thread's, in a step the exchange's

  // Of the task under way, handed over by mailbox_. Durations are MonotonicNow's.
  ReadyToken token_;                     // of what is ready
  uint32_t encoding_ = 0;                // encodings under way
  absl::Duration encoding_since_;        // at least one
  absl::Duration encoded_;               // when the last one was complete
  absl::Duration first_push_;            // of a call; infinite: none yet
  std::vector<absl::Time> trace_begin_;  // by bucket, of its encoding
  StepTraffic traffic_;
  absl::Status status_;                             // the first error
  const std::shared_ptr<ExchangeMailbox> mailbox_;  // shared with calls that may outlive this
  Thread thread_;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_GRADIENT_EXCHANGE_H_
