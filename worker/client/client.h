// The interface for a training program: join, start or restore, steps, state, leave. The program owns its tensors and
// computes; the client exchanges.

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
  std::optional<float> weight;  // of this worker in the mean (CheckWeight); nullopt: 1; 0: it has no examples
  bool not_finite = false;      // the loss (kGradients: also by its value): no worker makes this step
  double loss = 0;              // for heartbeats
  // Of all parameters, one after the other, in the tensors' kind of memory; null: Ready gives them.
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
  uint64_t exchanges = 0;  // the members below are sums over them
  uint64_t refused = 0;
  uint64_t missed = 0;
  uint64_t pushed_bytes = 0;
  uint64_t pulled_bytes = 0;
  uint64_t retries = 0;
  double compress_seconds = 0;
  double wait_seconds = 0;
  double residual_norm = 0;  // after the last exchange
};

// One call at a time, from any thread, except that several threads may call Ready, Wait, Cancel and Statistics at once.
// Calls out of order are FailedPrecondition and change nothing. After an error of the servers or the network in a step
// the client cannot be used any more: every call except Leave says so.
//
// On a GPU: if gradients are pushed, tensors and gradients lie in one array each, and there are no buffers, gradients
// are compressed there, and the host never waits for the program's stream in a step. Otherwise the elements are copied
// to the host and back.
class Client {
 public:
  // The tensors' elements must keep their addresses while the client lives. `options` are checked.
  // InvalidArgument for options or tensors that make no sense; errors of Claims, GrpcCluster::Join, ClaimRank and the
  // checks of begin_training.h and, on a GPU, of MakeCudaBuckets. FailedPrecondition in the child of a process that had
  // joined before it forked.
  static absl::StatusOr<std::unique_ptr<Client>> Join(ClientOptions options, const std::vector<ClientTensor>& tensors,
                                                      const ClientMemory& memory = {});

  // Without Leave, servers keep this worker's place for its lease.
  ~Client() = default;

  // Gives every worker the same weights: rank 0's in a new training, the published ones in a running one.
  absl::Status Start();

  // Continues from a saved state, instead of Start or directly after it. InvalidArgument if it is of another
  // training; DataLoss if it is damaged; FailedPrecondition if the servers begin anew.
  absl::Status Restore(absl::string_view state);

  // PushKind::kGradients: begins a step; no gradient is ready yet. kWeights: begins an exchange of the weights'
  // changes, all of which are ready.
  absl::Status Begin(const StepInput& input);

  // Says that the gradient of a tensor, by its index in Join, is complete; null: zero. It is copied. Buffers need no
  // call: they are complete when a step begins.
  absl::Status Ready(size_t tensor, const float* gradient);

  // Waits until the step is done; DeadlineExceeded if that takes longer than `timeout`.
  absl::Status Wait(absl::Duration timeout);

  // Waits for the step and sets the weights. FailedPrecondition, with the step still open, if a tensor is not ready.
  absl::StatusOr<StepResult> Finish();

  // kWeights: notes a step of the program. Every local_steps-th call exchanges.
  absl::StatusOr<StepResult> Step(const StepInput& input);

  // From any thread: a wait of another in Start, Wait, Finish or Step ends with Cancelled, and the client cannot be
  // used any more. The same holds for a step in which no thread waits. Between two steps it does nothing.
  void Cancel();

  // All that Restore needs. Between two steps.
  absl::StatusOr<std::string> State();

  // Tells the servers. Only Statistics may follow.
  absl::Status Leave(bool finished);

  ClientStatistics Statistics();

  const ParameterLayout& layout() const { return layout_; }
  const ClientOptions& options() const { return options_; }  // including the claimed rank
  // Whether the parameters lie next to each other, so that they need no copy if gradients are pushed.
  bool in_place() const { return arrays_.can_be_in_place(); }

  // Whether this is the process that joined. It is false after fork(); then this object must not be used, nor even
  // destroyed, because its threads do not exist.
  bool IsOfThisProcess() const;

 private:
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();
  enum class Phase { kJoined, kStarting, kBetweenSteps, kInStep, kFinishing, kFailed, kLeft };

  Client(ClientOptions options, const ParameterLayout& layout, const std::vector<ClientTensor>& tensors,
         const ClientMemory& memory, std::vector<size_t> places, std::unique_ptr<Claims> claims);

  absl::Status Connect();
  absl::StatusOr<std::unique_ptr<BucketEngine>> MakeEngine();
  // A token that is ready when the work given to the program's stream so far is done; null on the host.
  absl::StatusOr<ReadyToken> NoteReady() const;
  // FailedPrecondition unless the phase is `wanted`.
  absl::Status Require(Phase wanted, absl::string_view call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Fail(const absl::Status& status);
  // Tells the exchange that all tensors after the last one that is not ready are ready.
  void Advance(ReadyToken token) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeGradient(size_t place, const float* gradient) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SetWeights();  // sets the program's weights to the published ones
  void NoteFinished(const StepTraffic& traffic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string NameOf(size_t tensor) const;
  bool pushes_weights() const { return options_.push == PushKind::kWeights; }

  const pid_t process_;
  ClientOptions options_;
  const ParameterLayout layout_;
  const std::vector<size_t> places_;  // layout's index by the program's tensor; kNowhere: no elements
  std::unique_ptr<Claims> claims_;
  const ClientMemory where_;
  ExchangeArrays arrays_;
  const std::vector<int64_t*> counters_;  // the program's, in the layout's order

  Mutex mutex_;
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kJoined;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> ready_ ABSL_GUARDED_BY(mutex_);  // by the layout's tensor
  size_t frontier_ ABSL_GUARDED_BY(mutex_) = 0;      // tensors from here on are ready
  StepInput input_ ABSL_GUARDED_BY(mutex_);          // not_finite is also set by the loss or a weight
  bool direct_ ABSL_GUARDED_BY(mutex_) = false;      // gradients are read from the program's memory
  bool has_stepped_ ABSL_GUARDED_BY(mutex_) = false;
  ClientStatistics statistics_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<EventFile> tensorboard_ ABSL_GUARDED_BY(mutex_);  // null: none
  std::unique_ptr<Cluster> cluster_;
  std::string run_;             // name of this worker's run
  CudaBuckets* gpu_ = nullptr;  // the exchange's engine, where gradients are pushed from tensors in one array on a GPU
  std::unique_ptr<GradientExchange> exchange_;  // after cluster_ and the arrays: its thread uses them
};

}  // namespace cddp

#endif  // WORKER_CLIENT_CLIENT_H_
