#include "worker/client/client.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/agreement/agreement.h"
#include "common/codec/byte_io.h"
#include "common/compress/finite.h"
#include "common/log/log.h"
#include "common/transport/credentials.h"
#include "worker/buckets/host_buckets.h"
#include "worker/client/begin_training.h"
#include "worker/client/client_settings.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/cluster/rank_claim.h"
#include "worker/cuda/cuda_memory.h"
#include "worker/cuda/cuda_stream.h"
#include "worker/exchange/buffer_difference.h"
#include "worker/exchange/traffic_scalars.h"

namespace cddp {
namespace {

constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

// gRPC's threads do not come along with fork(), and its locks may be held for ever.
absl::Status CheckNotForked() {
  static std::atomic<pid_t> joined_in{0};
  pid_t none = 0;
  if (joined_in.compare_exchange_strong(none, getpid()) || none == getpid()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("process ", none,
                   " had joined before it forked this one, which cannot join: fork before joining, or "
                   "start a new program (exec; in Python the start method 'spawn')"));
}

uint64_t ElementsOf(const TensorSpec& spec) {
  uint64_t elements = 1;
  for (const int64_t extent : spec.shape) elements *= static_cast<uint64_t>(std::max<int64_t>(extent, 0));
  return elements;
}

// InvalidArgument unless the tensor lies in such memory.
absl::Status CheckPlace(const ClientTensor& tensor, const ClientMemory& memory) {
  if (tensor.data == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor.spec.name, "' has no memory (null)"));
  }
  if (!memory.is_gpu) return absl::OkStatus();
  absl::StatusOr<int> device = DeviceOf(tensor.data);
  if (!device.ok()) {
    return absl::Status(device.status().code(),
                        absl::StrCat("tensor '", tensor.spec.name, "': ", device.status().message()));
  }
  if (*device == memory.device) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tensor '", tensor.spec.name, "' lies on GPU ", *device, ", not ", memory.device));
}

bool IsEmpty(const TensorSpec& spec) { return std::find(spec.shape.begin(), spec.shape.end(), 0) != spec.shape.end(); }

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Join(ClientOptions options, const std::vector<ClientTensor>& tensors,
                                                     const ClientMemory& memory) {
  if (absl::Status status = CheckNotForked(); !status.ok()) return status;
  if (absl::Status status = Validate(options); !status.ok()) return status;
  std::vector<ClientTensor> parts;
  std::vector<size_t> places(tensors.size(), kNowhere);
  std::vector<TensorSpec> specs;
  for (const TensorKind kind : {TensorKind::kParameter, TensorKind::kBuffer}) {  // the layout's order
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].spec.kind != kind || IsEmpty(tensors[i].spec)) continue;
      if (absl::Status status = CheckPlace(tensors[i], memory); !status.ok()) return status;
      places[i] = parts.size();
      specs.push_back(tensors[i].spec);
      parts.push_back(tensors[i]);
    }
  }
  absl::StatusOr<ParameterLayout> layout =
      ParameterLayout::Create(std::move(specs), (options.bucket_bytes + 3) / sizeof(float));
  if (!layout.ok()) return layout.status();
  options.bucket_bytes = layout->bucket_elements() * sizeof(float);

  auto claims = std::make_unique<Claims>();
  std::vector<uint64_t> elements;
  elements.reserve(parts.size());
  for (const ClientTensor& part : parts) elements.push_back(ElementsOf(part.spec));
  if (absl::Status status = claims->ClaimMemory(parts, elements); !status.ok()) return status;
  std::unique_ptr<Client> client(
      new Client(std::move(options), *layout, parts, memory, std::move(places), std::move(claims)));
  if (absl::Status status = client->Connect(); !status.ok()) return status;
  return client;
}

Client::Client(ClientOptions options, const ParameterLayout& layout, const std::vector<ClientTensor>& tensors,
               const ClientMemory& memory, std::vector<size_t> places, std::unique_ptr<Claims> claims)
    : process_(getpid()),
      options_(std::move(options)),
      layout_(layout),
      places_(std::move(places)),
      claims_(std::move(claims)),
      where_(memory),
      memory_(
          layout,
          [&tensors] {
            std::vector<float*> data;
            data.reserve(tensors.size());
            for (const ClientTensor& tensor : tensors) data.push_back(tensor.data);
            return data;
          }(),
          memory),
      ready_(tensors.size()) {}

absl::Status Client::Connect() {
  GrpcClusterOptions to = options_.cluster;
  to.addresses = options_.servers;
  to.incarnation = PresentIncarnation();
  absl::StatusOr<std::shared_ptr<const ClientSecurity>> security = ClientSecurity::Create(options_.security);
  if (!security.ok()) return security.status();
  to.security = *std::move(security);
  if (!options_.rank.has_value()) {
    absl::StatusOr<uint32_t> rank = ::cddp::ClaimRank(to);
    if (!rank.ok()) return rank.status();
    options_.rank = *rank;
  }
  to.rank = *options_.rank;
  if (to.rank == 0 && !options_.tensorboard.empty()) {
    absl::StatusOr<std::unique_ptr<EventFile>> events = EventFile::Create(options_.tensorboard);
    if (!events.ok()) return absl::InvalidArgumentError(absl::StrCat("tensorboard: ", events.status().message()));
    MutexLock lock(mutex_);
    tensorboard_ = *std::move(events);
  }
  if (absl::Status status = claims_->ClaimRank(to.addresses, to.rank); !status.ok()) return status;
  to.agreement = DescribeForServers(options_);
  absl::StatusOr<std::unique_ptr<GrpcCluster>> cluster = GrpcCluster::Join(to, layout_);
  if (!cluster.ok()) return cluster.status();
  run_ = (*cluster)->run();
  cluster_ = *std::move(cluster);
  absl::Status status;
  if (pushes_weights() && !options_.any_outer) status = CheckServersAverage(cluster_->server_settings());
  if (!pushes_weights() && !options_.sparse_adam) {
    status = CheckServersTakePart(cluster_->server_settings(), absl::StrCat(options_.exchange.compressor.ratio));
  }
  if (!status.ok()) {
    cluster_->Leave(/*finished=*/false);
    return status;
  }
  absl::StatusOr<std::unique_ptr<BucketEngine>> engine = MakeEngine();
  if (!engine.ok()) return engine.status();
  exchange_ = std::make_unique<GradientExchange>(layout_, *std::move(engine), cluster_.get());
  MutexLock lock(mutex_);
  statistics_.version_at_join = cluster_->version();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BucketEngine>> Client::MakeEngine() {
  const uint32_t workers = cluster_->worker_count();
  if (where_.is_gpu && !pushes_weights() && in_place()) {
    absl::StatusOr<std::unique_ptr<CudaBuckets>> gpu =
        MakeCudaBuckets(layout_, options_.exchange, workers, {where_.device, where_.stream});
    if (gpu.ok()) {
      published_ = memory_.in_place();
      gpu_ = gpu->get();
      return *std::move(gpu);
    }
    if (gpu.status().code() != absl::StatusCode::kUnimplemented) return gpu.status();
    LogWarning(absl::StrCat("event=compressed_on_host reason=\"", gpu.status().message(),
                            "\" consequence=\"gradients and weights are copied from and to the GPU\""));
  }
  if (pushes_weights() || where_.is_gpu || !in_place()) replica_.resize(layout_.total_elements());
  published_ = replica_.empty() ? memory_.in_place() : absl::MakeSpan(replica_);
  absl::StatusOr<std::unique_ptr<HostBuckets>> host = HostBuckets::Create(layout_, options_.exchange, workers);
  if (!host.ok()) return host.status();
  return *std::move(host);
}

absl::StatusOr<ReadyToken> Client::NoteReady() const {
  return gpu_ == nullptr ? absl::StatusOr<ReadyToken>(nullptr) : RecordReady(where_.device, where_.stream);
}

bool Client::IsOfThisProcess() const { return process_ == getpid(); }

std::string Client::NameOf(size_t tensor) const { return layout_.tensors()[tensor].name; }

absl::Status Client::Require(Phase wanted, absl::string_view call) const {
  if (phase_ == wanted) return absl::OkStatus();
  const char* why = "";
  switch (phase_) {
    case Phase::kJoined:
      why = "this client has only joined: start it, or restore a state, first";
      break;
    case Phase::kStarting:
      why = "the client is being started by another call";
      break;
    case Phase::kBetweenSteps:
      why = wanted == Phase::kInStep ? "no step is under way: begin one first" : "the client has started already";
      break;
    case Phase::kInStep:
      why = "a step is under way: finish it first";
      break;
    case Phase::kFinishing:
      why = "the step is being finished by another call";
      break;
    case Phase::kFailed:
      return absl::FailedPreconditionError(
          absl::StrCat(call, ": this client is over, for an earlier call failed: ", failure_.message(),
                       "; destroy it, and go on from a saved state or as a new client"));
    case Phase::kLeft:
      why = "this client has left the training";
      break;
  }
  return absl::FailedPreconditionError(absl::StrCat(call, ": ", why));
}

absl::Status Client::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  phase_ = Phase::kFailed;
  failure_ = status;
  return status;
}

absl::Status Client::Start() {
  {
    MutexLock lock(mutex_);
    if (absl::Status status = Require(Phase::kJoined, "start"); !status.ok()) return status;
    phase_ = Phase::kStarting;
  }
  absl::Status status = gpu_ == nullptr ? memory_.Gather(published_) : absl::OkStatus();
  if (status.ok()) status = TakeFirstWeights(*cluster_, exchange_.get(), published_, *options_.rank == 0);
  if (status.ok()) status = SetWeights();
  if (!status.ok()) return Fail(status);
  MutexLock lock(mutex_);
  phase_ = Phase::kBetweenSteps;
  statistics_.step = exchange_->step();
  return absl::OkStatus();
}

absl::Status Client::SetWeights() {
  return gpu_ == nullptr ? memory_.Scatter(published_) : gpu_->WaitForWeights(where_.stream);
}

// What the program's steps have moved, with a gradient's sign.
absl::Status Client::BeginDifference() {
  if (absl::Status status = memory_.Gather(absl::MakeSpan(gathered_)); !status.ok()) return status;
  const uint64_t parameters = layout_.parameter_elements();
  for (size_t i = 0; i < parameters; ++i) gathered_[i] = published_[i] - gathered_[i];
  const absl::Span<float> buffers = absl::MakeSpan(gathered_).subspan(parameters);
  BufferDifference(published_.subspan(parameters), buffers, buffers);
  return absl::OkStatus();
}

// Likewise of the buffers alone, which the forward pass has moved.
absl::Status Client::BeginBuffers() {
  for (size_t i = 0; i < layout_.tensors().size(); ++i) {
    if (layout_.tensors()[i].kind != TensorKind::kBuffer) continue;
    const ElementRange range = layout_.tensor_range(i);
    const absl::Span<float> own = absl::MakeSpan(gathered_).subspan(range.begin, range.size());
    if (absl::Status status = memory_.GatherOne(i, memory_.tensor(i), absl::MakeSpan(gathered_)); !status.ok()) {
      return status;
    }
    BufferDifference(published_.subspan(range.begin, range.size()), own, own);
    ready_[i] = true;
  }
  return absl::OkStatus();
}

absl::Status Client::Begin(const StepInput& input) {
  MutexLock lock(mutex_);
  if (absl::Status status = Require(Phase::kBetweenSteps, "begin"); !status.ok()) return status;
  if (input.weight != 0.0f) {
    if (absl::Status status = CheckWeight(input.weight); !status.ok()) return status;
  }
  if (gpu_ != nullptr && input.gradients == nullptr) {
    return absl::InvalidArgumentError(
        "begin: with tensors that lie in one array on a GPU, gradients must lie in one, too: name it in the step "
        "options");
  }
  direct_ = input.gradients != nullptr && !pushes_weights() && !has_buffers() && (!where_.is_gpu || gpu_ != nullptr);
  if (!direct_) gathered_.resize(layout_.total_elements());
  bool refuse = input.not_finite || (!pushes_weights() && !std::isfinite(input.loss));
  ready_.assign(ready_.size(), pushes_weights() || refuse || input.weight == 0.0f);
  absl::Status status = pushes_weights() ? BeginDifference() : BeginBuffers();
  if (!status.ok()) return status;
  if (pushes_weights() && !AllFinite(absl::MakeSpan(gathered_).first(layout_.parameter_elements()))) refuse = true;
  phase_ = Phase::kInStep;
  has_stepped_ = true;
  input_ = input;
  frontier_ = ready_.size();
  while (frontier_ > 0 && ready_[frontier_ - 1]) --frontier_;
  exchange_->Begin(direct_ ? absl::Span<const float>(input.gradients, layout_.total_elements()) : gathered_, published_,
                   refuse, input.weight);
  if (frontier_ < ready_.size()) exchange_->Ready(layout_.tensor_range(frontier_).begin);
  return absl::OkStatus();
}

absl::Status Client::Ready(size_t tensor, const float* gradient) {
  MutexLock lock(mutex_);
  if (absl::Status status = Require(Phase::kInStep, "ready"); !status.ok()) return status;
  if (pushes_weights()) {
    return absl::FailedPreconditionError("ready: this client pushes weights (push=weights), which are ready at once");
  }
  if (tensor >= places_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("ready: there is no tensor ", tensor, ": ", places_.size(),
                                                   " were given to join, counted from 0"));
  }
  const size_t place = places_[tensor];
  const bool needs_none = input_.not_finite || !std::isfinite(input_.loss) || input_.weight == 0.0f;
  if (needs_none || place == kNowhere || layout_.tensors()[place].kind != TensorKind::kParameter) {
    return absl::OkStatus();
  }
  if (ready_[place]) {
    return absl::FailedPreconditionError(absl::StrCat("ready: tensor '", NameOf(place), "' was ready already"));
  }
  if (absl::Status status = TakeGradient(place, gradient); !status.ok()) return status;
  absl::StatusOr<ReadyToken> token = NoteReady();
  if (!token.ok()) return token.status();
  ready_[place] = true;
  const size_t before = frontier_;
  while (frontier_ > 0 && ready_[frontier_ - 1]) --frontier_;
  if (frontier_ < before) exchange_->Ready(layout_.tensor_range(frontier_).begin, *std::move(token));
  return absl::OkStatus();
}

absl::Status Client::TakeGradient(size_t place, const float* gradient) {
  const ElementRange range = layout_.tensor_range(place);
  if (input_.gradients != nullptr) {
    if (gradient != nullptr && gradient != input_.gradients + range.begin) {
      return absl::InvalidArgumentError(absl::StrCat("ready: the gradient of tensor '", NameOf(place),
                                                     "' lies outside the array that the step began with"));
    }
    if (direct_) return absl::OkStatus();
    gradient = input_.gradients + range.begin;
  }
  if (gradient != nullptr) return memory_.GatherOne(place, gradient, absl::MakeSpan(gathered_));
  std::fill_n(gathered_.begin() + static_cast<std::ptrdiff_t>(range.begin), range.size(), 0.0f);
  return absl::OkStatus();
}

absl::Status Client::Wait(absl::Duration timeout) {
  {
    MutexLock lock(mutex_);
    if (absl::Status status = Require(Phase::kInStep, "wait"); !status.ok()) return status;
  }
  if (exchange_->WaitFor(timeout)) return absl::OkStatus();
  return absl::DeadlineExceededError("wait: the step is still under way");
}

absl::StatusOr<StepResult> Client::Finish() {
  {
    MutexLock lock(mutex_);
    if (absl::Status status = Require(Phase::kInStep, "finish"); !status.ok()) return status;
    if (frontier_ > 0) {
      const auto missing = std::count(ready_.begin(), ready_.end(), false);
      return absl::FailedPreconditionError(absl::StrCat("finish: ", missing, " of ", ready_.size(),
                                                        " tensors are not ready, among them '", NameOf(frontier_ - 1),
                                                        "': tell each, also one without a gradient (null)"));
    }
    phase_ = Phase::kFinishing;
  }
  absl::StatusOr<ReadyToken> token = NoteReady();
  if (!token.ok()) return Fail(token.status());
  absl::StatusOr<StepTraffic> traffic = exchange_->Finish(*std::move(token));
  if (!traffic.ok()) return Fail(traffic.status());
  if (absl::Status status = SetWeights(); !status.ok()) return Fail(status);
  MutexLock lock(mutex_);
  NoteFinished(*traffic);
  return StepResult{true, exchange_->step() - 1, *traffic};
}

void Client::NoteFinished(const StepTraffic& traffic) {
  phase_ = Phase::kBetweenSteps;
  statistics_.step = exchange_->step();
  statistics_.local_steps = 0;
  ++statistics_.exchanges;
  statistics_.refused += traffic.refused ? 1 : 0;
  statistics_.missed += traffic.missed;
  statistics_.pushed_bytes += traffic.pushed_bytes;
  statistics_.pulled_bytes += traffic.pulled_bytes;
  statistics_.compress_seconds += traffic.compress_seconds;
  statistics_.wait_seconds += traffic.exchange_seconds;
  statistics_.residual_norm = traffic.residual_norm;
  cluster_->NoteProgress(exchange_->step() - 1, input_.loss);
  if (tensorboard_ == nullptr) return;
  const uint64_t steps = (exchange_->step() - 1) * options_.local_steps;
  const std::optional<double> loss = input_.loss == 0 ? std::nullopt : std::optional(input_.loss);  // 0: not told
  AddTraffic(steps, loss, traffic, layout_.total_elements(), tensorboard_.get());
}

absl::StatusOr<StepResult> Client::Step(const StepInput& input) {
  {
    MutexLock lock(mutex_);
    if (!pushes_weights()) {
      return absl::FailedPreconditionError(
          "step: this client pushes gradients (push=gradients): call begin, ready and finish, or join with "
          "push=weights");
    }
    if (absl::Status status = Require(Phase::kBetweenSteps, "step"); !status.ok()) return status;
    has_stepped_ = true;
    if (++statistics_.local_steps < options_.local_steps) return StepResult{false, exchange_->step(), {}};
  }
  if (absl::Status status = Begin(input); !status.ok()) return status;
  return Finish();
}

absl::StatusOr<std::string> Client::State() {
  MutexLock lock(mutex_);
  if (absl::Status status = Require(Phase::kBetweenSteps, "save_state"); !status.ok()) return status;
  WorkerCheckpoint checkpoint;
  checkpoint.fingerprint = layout_.fingerprint();
  checkpoint.run = run_;
  checkpoint.flags = DescribeForState(options_);
  checkpoint.exchange = exchange_->State();
  checkpoint.weights.resize(layout_.total_elements());
  if (gpu_ != nullptr) {
    if (absl::Status status = memory_.Gather(absl::MakeSpan(checkpoint.weights)); !status.ok()) return status;
  } else {
    std::copy(published_.begin(), published_.end(), checkpoint.weights.begin());
  }
  if (statistics_.local_steps > 0) {  // the program's own have moved on
    std::vector<float> own(layout_.total_elements());
    if (absl::Status status = memory_.Gather(absl::MakeSpan(own)); !status.ok()) return status;
    checkpoint.model.assign(reinterpret_cast<const char*>(own.data()), own.size() * sizeof(float));
  }
  ByteWriter(&checkpoint.totals).Put<uint64_t>(statistics_.local_steps);
  std::string bytes;
  const absl::Status status = Append(checkpoint, [&bytes](absl::string_view part) {
    bytes.append(part.data(), part.size());
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return bytes;
}

absl::Status Client::Restore(absl::string_view state) {
  absl::StatusOr<WorkerCheckpoint> checkpoint = ParseCheckpoint(state, "the state");
  if (!checkpoint.ok()) return checkpoint.status();
  MutexLock lock(mutex_);
  if (phase_ != Phase::kBetweenSteps) {
    if (absl::Status status = Require(Phase::kJoined, "restore"); !status.ok()) return status;
  }
  if (has_stepped_) {
    return absl::FailedPreconditionError(
        "restore: this client has made steps already: join anew to go on from a state");
  }
  if (const std::string difference = DescribeFileDifference(checkpoint->flags, DescribeForState(options_), "client");
      !difference.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("restore: the state ", difference));
  }
  if (checkpoint->fingerprint != layout_.fingerprint() || checkpoint->weights.size() != layout_.total_elements()) {
    return absl::InvalidArgumentError("restore: the state is of another model or bucket length");
  }
  if (checkpoint->run != run_) {
    return absl::InvalidArgumentError(absl::StrCat("restore: the state is of run ", checkpoint->run,
                                                   ", but the servers train run ", run_,
                                                   ": start them with their --state_dir, or call start to take part in "
                                                   "this run without that state"));
  }
  // The servers' version when this joined, or what start has made of it.
  const uint64_t reached = std::max(cluster_->version(), statistics_.step);
  if (reached == 0 || (cluster_->is_sync() && reached < checkpoint->exchange.step)) {
    return absl::FailedPreconditionError(
        absl::StrCat("restore: the state is of step ", checkpoint->exchange.step, ", but the servers ",
                     cluster_->version() == 0 ? "begin anew" : absl::StrCat("are at ", reached),
                     ": start them with their --state_dir, or call start for a new training"));
  }
  if (absl::Status status = exchange_->SetState(checkpoint->exchange); !status.ok()) return status;
  if (gpu_ == nullptr) std::copy(checkpoint->weights.begin(), checkpoint->weights.end(), published_.begin());
  if (absl::Status status = memory_.Scatter(checkpoint->weights); !status.ok()) return status;
  const uint64_t local_steps = ByteReader(checkpoint->totals).Get<uint64_t>();
  if (local_steps > 0 && checkpoint->model.size() == checkpoint->weights.size() * sizeof(float)) {
    std::vector<float> own(layout_.total_elements());
    std::memcpy(own.data(), checkpoint->model.data(), checkpoint->model.size());
    if (absl::Status status = memory_.Scatter(own); !status.ok()) return status;
  }
  phase_ = Phase::kBetweenSteps;
  statistics_.step = exchange_->step();
  statistics_.local_steps = local_steps;
  return absl::OkStatus();
}

absl::Status Client::Leave(bool finished) {
  {
    MutexLock lock(mutex_);
    if (phase_ == Phase::kLeft) return Require(Phase::kBetweenSteps, "leave");
    if (phase_ == Phase::kStarting || phase_ == Phase::kFinishing || (finished && phase_ == Phase::kInStep)) {
      return Require(Phase::kBetweenSteps, "leave");
    }
    finished = finished && phase_ == Phase::kBetweenSteps;
    phase_ = Phase::kLeft;
    statistics_.retries = cluster_->retries();
  }
  exchange_.reset();  // ends a step that is under way
  cluster_->Leave(finished);
  cluster_.reset();
  claims_.reset();
  return absl::OkStatus();
}

ClientStatistics Client::Statistics() {
  MutexLock lock(mutex_);
  if (phase_ != Phase::kLeft) statistics_.retries = cluster_->retries();
  return statistics_;
}

}  // namespace cddp
