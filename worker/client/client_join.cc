// Creates a client: its tensors, memory, rank and servers.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/agreement/agreement.h"
#include "common/layout/agreed_tensor.h"
#include "common/log/log.h"
#include "common/transport/credentials.h"
#include "worker/buckets/host_buckets.h"
#include "worker/client/begin_training.h"
#include "worker/client/client.h"
#include "worker/client/client_settings.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/cluster/rank_claim.h"
#include "worker/cuda/cuda_memory.h"

namespace cddp {
namespace {

// After fork() gRPC's threads do not exist, and its locks may be held for ever.
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

// InvalidArgument unless the tensor lies in that memory.
absl::Status CheckPlace(const ClientTensor& tensor, const ClientMemory& memory) {
  if (tensor.data == nullptr && tensor.counter == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor.spec.name, "' has no memory (null)"));
  }
  if (!memory.is_gpu || tensor.counter != nullptr) return absl::OkStatus();
  absl::StatusOr<int> device = DeviceOf(tensor.data);
  if (!device.ok()) {
    return absl::Status(device.status().code(),
                        absl::StrCat("tensor '", tensor.spec.name, "': ", device.status().message()));
  }
  if (*device == memory.device) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tensor '", tensor.spec.name, "' lies on GPU ", *device, ", not ", memory.device));
}

// What all workers agree on (worker/rounds/agreed_steps.h), as a tensor behind the model's buffers.
ClientTensor AgreedTensor(absl::Span<float> elements) {
  ClientTensor tensor;
  tensor.spec = {std::string(kAgreedTensor), {static_cast<int64_t>(elements.size())}, TensorKind::kBuffer};
  tensor.data = elements.data();
  return tensor;
}

bool IsEmpty(const TensorSpec& spec) { return std::find(spec.shape.begin(), spec.shape.end(), 0) != spec.shape.end(); }

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Join(ClientOptions options, const std::vector<ClientTensor>& tensors,
                                                     const ClientMemory& memory) {
  if (absl::Status status = CheckNotForked(); !status.ok()) return status;
  if (absl::Status status = Validate(options); !status.ok()) return status;
  std::unique_ptr<AgreedElements> agreed;
  if (options.local_steps.kind != StepsChoice::Kind::kFixed) {
    if (memory.is_gpu) {
      return absl::InvalidArgumentError("local_steps=auto needs tensors in the host's memory: give a number");
    }
    agreed = std::make_unique<AgreedElements>();
  }
  std::vector<ClientTensor> parts;
  std::vector<size_t> places(tensors.size(), kNowhere);
  std::vector<TensorSpec> specs;
  for (const TensorKind kind :
       {TensorKind::kParameter, TensorKind::kBuffer, TensorKind::kCounter}) {  // the layout's order
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].spec.kind != kind || IsEmpty(tensors[i].spec)) continue;
      if (absl::Status status = CheckPlace(tensors[i], memory); !status.ok()) return status;
      places[i] = parts.size();
      specs.push_back(tensors[i].spec);
      parts.push_back(tensors[i]);
    }
    if (kind != TensorKind::kBuffer || agreed == nullptr) continue;
    parts.push_back(AgreedTensor(absl::MakeSpan(*agreed)));
    specs.push_back(parts.back().spec);
  }
  absl::StatusOr<ParameterLayout> layout =
      ParameterLayout::Create(std::move(specs), (options.bucket_bytes + 3) / sizeof(float));
  if (!layout.ok()) return layout.status();
  options.bucket_bytes = layout->bucket_elements() * sizeof(float);

  auto claims = std::make_unique<Claims>();
  std::vector<uint64_t> elements;
  elements.reserve(parts.size());
  for (const ClientTensor& part : parts) elements.push_back(part.counter == nullptr ? ElementsOf(part.spec) : 0);
  if (absl::Status status = claims->ClaimMemory(parts, elements); !status.ok()) return status;
  std::unique_ptr<Client> client(
      new Client(std::move(options), *layout, parts, memory, std::move(places), std::move(claims), std::move(agreed)));
  if (absl::Status status = client->Connect(); !status.ok()) return status;
  return client;
}

Client::Client(ClientOptions options, const ParameterLayout& layout, const std::vector<ClientTensor>& tensors,
               const ClientMemory& memory, std::vector<size_t> places, std::unique_ptr<Claims> claims,
               std::unique_ptr<AgreedElements> agreed)
    : process_(getpid()),
      options_(std::move(options)),
      layout_(layout),
      places_(std::move(places)),
      claims_(std::move(claims)),
      where_(memory),
      agreed_(std::move(agreed)),
      arrays_(
          layout,
          [&tensors] {
            std::vector<float*> data;
            for (const ClientTensor& tensor : tensors) {
              if (tensor.counter == nullptr) data.push_back(tensor.data);
            }
            return data;
          }(),
          memory),
      counters_([&tensors] {
        std::vector<int64_t*> counters;
        for (const ClientTensor& tensor : tensors) {
          if (tensor.counter != nullptr) counters.push_back(tensor.counter);
        }
        return counters;
      }()),
      ready_(tensors.size() - counters_.size()) {}

absl::Status Client::Connect() {
  GrpcClusterOptions to = options_.cluster;
  to.catches_up = false;  // a program may restore its state after it has started
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
  absl::Status status = CheckConsistency(options_.local_steps, options_.overlap, *cluster_);
  if (status.ok() && pushes_weights() && !options_.any_outer) status = CheckServersAverage(cluster_->server_settings());
  if (status.ok() && !pushes_weights() && !options_.sparse_adam) {
    status = CheckServersTakePart(cluster_->server_settings(), absl::StrCat(options_.exchange.compressor.ratio));
  }
  if (!status.ok()) {
    cluster_->Leave(/*finished=*/false);
    return status;
  }
  absl::StatusOr<std::unique_ptr<BucketEngine>> engine = MakeEngine();
  if (!engine.ok()) return engine.status();
  exchange_ = std::make_unique<GradientExchange>(layout_, *std::move(engine), cluster_.get());
  if (options_.overlap > 0) arrays_.MakeBegin();
  MutexLock lock(mutex_);
  statistics_.version_at_join = cluster_->version();
  if (agreed_ == nullptr) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<AgreedRounds>> rounds = AgreedRounds::Create(options_.local_steps, /*log=*/"");
  if (!rounds.ok()) return rounds.status();
  rounds_ = *std::move(rounds);
  const std::vector<float> first = rounds_->FirstElements();
  std::copy(first.begin(), first.end(), agreed_->begin());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BucketEngine>> Client::MakeEngine() {
  const uint32_t workers = cluster_->worker_count();
  const bool in_place = !pushes_weights() && arrays_.can_be_in_place();
  if (in_place && where_.is_gpu && layout_.total_elements() == layout_.parameter_elements()) {
    absl::StatusOr<std::unique_ptr<CudaBuckets>> gpu =
        MakeCudaBuckets(layout_, options_.exchange, workers, {where_.device, where_.stream});
    if (gpu.ok()) {
      arrays_.PublishInPlace();
      gpu_ = gpu->get();
      return *std::move(gpu);
    }
    if (gpu.status().code() != absl::StatusCode::kUnimplemented) return gpu.status();
    LogWarning(absl::StrCat("event=compressed_on_host reason=\"", gpu.status().message(),
                            "\" consequence=\"gradients and weights are copied from and to the GPU\""));
  }
  if (in_place && !where_.is_gpu) {
    arrays_.PublishInPlace();
  } else {
    arrays_.PublishApart();
  }
  absl::StatusOr<std::unique_ptr<HostBuckets>> host = HostBuckets::Create(layout_, options_.exchange, workers);
  if (!host.ok()) return host.status();
  (*host)->BindBuffers(arrays_.pushed().buffers, arrays_.published().buffers);
  return *std::move(host);
}

}  // namespace cddp
