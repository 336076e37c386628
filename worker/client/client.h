// What a training program sees of a training: join, start or restore, steps, state, leave. The program owns its
// tensors and computes by itself; the client exchanges.

#ifndef WORKER_CLIENT_CLIENT_H_
#define WORKER_CLIENT_CLIENT_H_

#include <sys/types.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/sync/mutex.h"
#include "common/tensorboard/event_file.h"
#include "worker/checkpoint/checkpoint.h"
#include "worker/client/claims.h"
#include "worker/client/client_options.h"
#include "worker/client/exchange_arrays.h"
#include "worker/client/tensor_memory.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/exchange/cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {

struct StepInput {
  std::optional<float> weight;  // of this worker in the mean (CheckWeight); none: 1; 0: it has no examples
  bool not_finite = false;      // the loss (kGradients: also by its value): no worker makes this step
  double loss = 0;              // for heartbeats
  // Of all parameters, one after the other and in the tensors' memory; null: Ready brings them.
  const float* gradients = nullptr;
};

struct StepResult {
  bool exchanged = false;  // false: a local step
  uint64_t step = 0;       // number of the exchange, from 1
  StepTraffic traffic;
};

struct ClientStatistics {
  uint64_t step = 0;  // the coming exchange; 0 before Start
  uint64_t local_steps = 0;
  uint64_t version_at_join = 0;
  uint64_t exchanges = 0;  // what follows sums over them
  uint64_t refused = 0;
  uint64_t missed = 0;
  uint64_t pushed_bytes = 0;
  uint64_t pulled_bytes = 0;
  uint64_t retries = 0;
  double compress_seconds = 0;
  double wait_seconds = 0;
  double residual_norm = 0;  // after the last one
};

// One call at a time, from any thread, but Ready, Wait, Cancel and Statistics may be called by several at once. Calls
// out of order are FailedPrecondition and change nothing. After an error of the servers or the network in a step the
// client is over: every call but Leave says so.
//
// On a GPU. Where gradients are pushed, tensors and gradients lie in one array each, and there are no buffers: they are
// compressed there, and the host waits for the program's stream nowhere in a step; else what is exchanged is copied to
// the host and back.
class Client {
 public:
  // The tensors' elements must stay where they are for as long as the client lives; `options` are checked.
  // InvalidArgument for options or tensors that make no sense; errors of Claims, GrpcCluster::Join, ClaimRank and the
  // checks of begin_training.h and, on a GPU, of MakeCudaBuckets. FailedPrecondition in the child of a process that has
  // joined before it forked.
  static absl::StatusOr<std::unique_ptr<Client>> Join(ClientOptions options, const std::vector<ClientTensor>& tensors,
                                                      const ClientMemory& memory = {});

  // Without Leave, servers keep this worker's place for its lease.
  ~Client() = default;

  // Gives every worker the same weights: rank 0's in a new training, else the published ones.
  absl::Status Start();

  // Goes on from a saved state, in the place of Start or directly after it. InvalidArgument if it is of another
  // training; DataLoss if it is damaged; FailedPrecondition if the servers begin anew.
  absl::Status Restore(absl::string_view state);

  // PushKind::kGradients: begins a step, none of whose gradients is ready. kWeights: an exchange of what the weights
  // have moved; all is ready.
  absl::Status Begin(const StepInput& input);

  // The gradient of a tensor, by its place in Join, is complete; null: zero. It is copied. Buffers need none: they are
  // complete when a step begins.
  absl::Status Ready(size_t tensor, const float* gradient);

  // Waits until the step is done; DeadlineExceeded if that takes longer than `timeout`.
  absl::Status Wait(absl::Duration timeout);

  // Waits for the step and sets the weights. FailedPrecondition, and the step goes on, if a tensor is not ready.
  absl::StatusOr<StepResult> Finish();

  // kWeights: the program has made a step. Every local_steps-th call exchanges.
  absl::StatusOr<StepResult> Step(const StepInput& input);

  // From any thread, while another waits in Start, Wait, Finish or Step: these return Cancelled, and the client is
  // over. So is a step that nobody waits for. Between two steps it does nothing.
  void Cancel();

  // All that Restore needs. Between two steps.
  absl::StatusOr<std::string> State();

  // Tells the servers. Nothing but Statistics may follow.
  absl::Status Leave(bool finished);

  ClientStatistics Statistics();

  const ParameterLayout& layout() const { return layout_; }
  const ClientOptions& options() const { return options_; }  // with the rank that was claimed
  // Do the parameters lie next to each other, so that they need no copy where gradients are pushed?
  bool in_place() const { return arrays_.can_be_in_place(); }

  // Is this the process that joined? Not after fork(); then nothing of this may be used, not even destroyed: its
  // threads are gone.
  bool IsOfThisProcess() const;

 private:
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();
  enum class Phase { kJoined, kStarting, kBetweenSteps, kInStep, kFinishing, kFailed, kLeft };

  Client(ClientOptions options, const ParameterLayout& layout, const std::vector<ClientTensor>& tensors,
         const ClientMemory& memory, std::vector<size_t> places, std::unique_ptr<Claims> claims);

  absl::Status Connect();
  absl::StatusOr<std::unique_ptr<BucketEngine>> MakeEngine();
  // When what the program's stream was given until now is done; null on the host.
  absl::StatusOr<ReadyToken> NoteReady() const;
  // FailedPrecondition unless in `wanted`.
  absl::Status Require(Phase wanted, absl::string_view call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Fail(const absl::Status& status);
  // Tells the exchange of what lies behind the first tensor that is not ready.
  void Advance(ReadyToken token) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeGradient(size_t place, const float* gradient) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SetWeights();  // the program's, to the published ones
  void NoteFinished(const StepTraffic& traffic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string NameOf(size_t tensor) const;
  bool pushes_weights() const { return options_.push == PushKind::kWeights; }

  const pid_t process_;
  ClientOptions options_;
  const ParameterLayout layout_;
  const std::vector<size_t> places_;  // by the program's tensor: the layout's; kNowhere: it has no elements
  std::unique_ptr<Claims> claims_;
  const ClientMemory where_;
  ExchangeArrays arrays_;
  const std::vector<int64_t*> counters_;  // the program's, in the layout's order

  Mutex mutex_;
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kJoined;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> ready_ ABSL_GUARDED_BY(mutex_);  // by the layout's tensor
  size_t frontier_ ABSL_GUARDED_BY(mutex_) = 0;      // tensors from here on are ready
  StepInput input_ ABSL_GUARDED_BY(mutex_);          // not_finite also by the loss, or a weight
  bool direct_ ABSL_GUARDED_BY(mutex_) = false;      // gradients are read where the program has them
  bool has_stepped_ ABSL_GUARDED_BY(mutex_) = false;
  ClientStatistics statistics_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<EventFile> tensorboard_ ABSL_GUARDED_BY(mutex_);  // null: none
  std::unique_ptr<Cluster> cluster_;
  std::string run_;             // name of the run that this worker takes part in
  CudaBuckets* gpu_ = nullptr;  // the exchange's engine, where gradients are pushed from tensors in one array on a GPU
  std::unique_ptr<GradientExchange> exchange_;  // after cluster_ and the arrays: its thread uses them
};

}  // namespace cddp

#endif  // WORKER_CLIENT_CLIENT_H_
