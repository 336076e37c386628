// The interface for a training program: join, start or restore, steps, state, leave. The program owns its tensors and
// computes; the client exchanges.

#ifndef WORKER_CLIENT_CLIENT_H_
#define WORKER_CLIENT_CLIENT_H_

#include <sys/types.h>

#include <array>
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
#include "worker/rounds/agreed_rounds.h"
#include "worker/rounds/agreed_steps.h"

namespace cddp {

struct StepInput {
  std::optional<float> weight;  // of this worker in the mean (CheckWeight); nullopt: 1; 0: it has no examples
  bool not_finite = false;      // the loss (kGradients: also by its value): no worker makes this step
  double loss = 0;              // for heartbeats
  // Of all parameters, one after the other, in the tensors' kind of memory; null: Ready gives them.
  const float* gradients = nullptr;
};

struct StepResult {
  bool exchanged = false;  // has an exchange ended? false: a local step, or an exchange that goes on beside the next
  uint64_t step = 0;       // number of the exchange, from 1
  StepTraffic traffic;
};

struct ClientStatistics {
  uint64_t step = 0;         // the coming exchange; 0 before Start
  uint64_t local_steps = 0;  // since the last exchange has begun
  uint64_t round_steps = 0;  // that the round under way makes; 0 before Start
  bool under_way = false;    // an overlapped exchange, whose answer is not in the weights yet
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

// Rounds of kWeights. Every `local_steps` steps of the program, an exchange of the weights' changes. With `overlap` it
// goes on beside the first steps of the next round (worker/optimizer/moved_weights.h). That holds for the exchanges of
// Step and NoteStep; Finish waits for one that the program begins by itself.
//
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
  // changes, all of which are ready; Finish sets the weights to the published ones. With `overlap` it begins what a
  // step is due to (NoteStep), or else the end of the exchange under way: Finish then adds its answer to the weights.
  absl::Status Begin(const StepInput& input);

  // Says that the gradient of a tensor, by its index in Join, is complete; null: zero. It is copied. Buffers need no
  // call: they are complete when a step begins.
  absl::Status Ready(size_t tensor, const float* gradient);

  // Waits until the step, or an overlapped exchange, is done; DeadlineExceeded if that takes longer than `timeout`.
  absl::Status Wait(absl::Duration timeout);

  // Waits for the step and sets the weights. FailedPrecondition, with the step still open, if a tensor is not ready.
  absl::StatusOr<StepResult> Finish();

  // kWeights: notes a step of the program. True if Begin and Finish must follow before its next one.
  absl::StatusOr<bool> NoteStep();

  // NoteStep, and what must follow. Every local_steps-th call exchanges.
  absl::StatusOr<StepResult> Step(const StepInput& input);

  // From any thread: a wait of another in Start, Wait, Finish or Step ends with Cancelled, and the client cannot be
  // used any more. The same holds for a step in which no thread waits. Between two steps it does nothing.
  void Cancel();

  // All that Restore needs. Between two steps. Waits for an overlapped exchange, and changes nothing that follows.
  absl::StatusOr<std::string> State();

  // Tells the servers; with `finished` after an overlapped exchange has ended, whose errors it returns. Only Statistics
  // may follow.
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
  using AgreedElements = std::array<float, kAgreedElements>;
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();
  enum class Phase { kJoined, kStarting, kBetweenSteps, kInStep, kFinishing, kFailed, kLeft };
  // How Finish ends.
  enum class Ending {
    kExchange,  // the weights are the published ones
    kAnswer,    // the answer of an overlapped exchange is in the weights
    kAhead,     // another exchange begins, of what has moved, once the last one is done
  };

  Client(ClientOptions options, const ParameterLayout& layout, const std::vector<ClientTensor>& tensors,
         const ClientMemory& memory, std::vector<size_t> places, std::unique_ptr<Claims> claims,
         std::unique_ptr<AgreedElements> agreed);

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
  absl::Status BeginExchange(const StepInput& input) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What Finish and others do in kFinishing. The exchange that is under way ends; its answer comes into the weights;
  // another one begins.
  absl::Status EndExchange();
  absl::Status AwaitAnswer();  // EndExchange, if an overlapped exchange is not done
  absl::Status TakeAnswer();
  absl::Status GoAhead();
  // Have workers decided upon another number of steps?
  absl::StatusOr<bool> NoteExchanged(const StepTraffic& traffic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteTensorboard(const StepTraffic& traffic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Weights were taken, in Start or Restore, and steps begin.
  absl::Status BeginRounds() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadAgreed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteAgreed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t RoundSteps() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t StepsMade() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // by the training, before the coming exchange
  bool IsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool awaits_answer() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return under_way_ && !answered_; }
  // Likewise of a state.
  std::string OverlapState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SetOverlapState(absl::string_view state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string NameOf(size_t tensor) const;
  bool pushes_weights() const { return options_.push == PushKind::kWeights; }

  const pid_t process_;
  ClientOptions options_;
  const ParameterLayout layout_;
  const std::vector<size_t> places_;  // layout's index by the program's tensor; kNowhere: no elements
  std::unique_ptr<Claims> claims_;
  const ClientMemory where_;
  const std::unique_ptr<AgreedElements> agreed_;  // what this worker says to the rounds to come; null: nothing
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
  Ending ending_ ABSL_GUARDED_BY(mutex_) = Ending::kExchange;
  bool under_way_ ABSL_GUARDED_BY(mutex_) = false;  // an overlapped exchange, whose answer is not in the weights
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;   // but it is done
  StepTraffic traffic_ ABSL_GUARDED_BY(mutex_);     // of the last exchange that is done
  std::unique_ptr<AgreedRounds> rounds_ ABSL_GUARDED_BY(mutex_);  // local_steps=auto; else null
  absl::Duration round_began_ ABSL_GUARDED_BY(mutex_);            // MonotonicNow, as the next one
  absl::Duration waits_since_ ABSL_GUARDED_BY(mutex_);            // for the exchange
  ClientStatistics statistics_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<EventFile> tensorboard_ ABSL_GUARDED_BY(mutex_);  // null: none
  std::unique_ptr<Cluster> cluster_;
  std::string run_;             // name of this worker's run
  CudaBuckets* gpu_ = nullptr;  // the exchange's engine, where gradients are pushed from tensors in one array on a GPU
  std::unique_ptr<GradientExchange> exchange_;  // after cluster_ and the arrays: its thread uses them
};

}  // namespace cddp

#endif  // WORKER_CLIENT_CLIENT_H_
