#include "worker/trainer/trainer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/agreement/agreement.h"
#include "common/clock/clock.h"
#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "common/codec/crc32c.h"
#include "common/files/durable_file.h"
#include "common/files/save_output.h"
#include "common/layout/agreed_tensor.h"
#include "common/metrics/metrics_server.h"
#include "common/tensorboard/event_file.h"
#include "common/trace/trace_file.h"
#include "worker/buckets/checked_buckets.h"
#include "worker/buckets/host_buckets.h"
#include "worker/checkpoint/remade_buckets.h"
#include "worker/client/begin_training.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_stream.h"
#include "worker/data/sampler.h"
#include "worker/exchange/buffer_difference.h"
#include "worker/exchange/traffic_scalars.h"
#include "worker/model/arithmetic.h"
#include "worker/model/device.h"
#include "worker/model/tensor_optimizer.h"
#include "worker/model/training_model.h"
#include "worker/optimizer/parameter_groups.h"
#include "worker/optimizer/worker_optimizer.h"
#include "worker/trainer/adaptive_ratio.h"
#include "worker/trainer/adaptive_steps.h"
#include "worker/trainer/agreed_steps.h"
#include "worker/trainer/progress.h"
#include "worker/trainer/round_listener.h"
#include "worker/trainer/round_order.h"
#include "worker/trainer/run_checkpoints.h"
#include "worker/trainer/run_device.h"
#include "worker/trainer/training_data.h"
#include "worker/trainer/worker_metrics.h"
#include "worker/trainer/worker_settings.h"

namespace cddp {
namespace {

// Not by the wall clock, which somebody may set. A trace has its own times, for people.
double SecondsSince(absl::Duration begin) { return absl::ToDoubleSeconds(MonotonicNow() - begin); }

// Everything a run needs, made in the order in which errors are cheapest to find: data, model, then the cluster.
class Trainer {
 public:
  explicit Trainer(const TrainerOptions& options)
      : options_(options), rank_(options.cluster.rank), metrics_(rank_), progress_(rank_, options.json_progress) {}

  // Data and model.
  absl::Status Load() {
    absl::StatusOr<ChosenDevice> device = RunDevice(options_, FindGpus());
    if (!device.ok()) return device.status();
    spdlog::info("event=device device={} reason=\"{}\"", Name(device->device), device->reason);

    absl::StatusOr<std::unique_ptr<TrainingData>> data =
        TrainingData::Load({options_.model, options_.data_dir, options_.data, options_.gpt, options_.train_examples,
                            options_.test_examples});
    if (!data.ok()) return data.status();
    data_ = *std::move(data);

    absl::StatusOr<EpochSampler> sampler =
        EpochSampler::Create({data_->train_examples(), rank_, options_.cluster.worker_count, options_.batch_size,
                              options_.seed, data_->stride()});
    if (!sampler.ok()) return sampler.status();
    sampler_.emplace(*std::move(sampler));

    absl::StatusOr<std::unique_ptr<TrainingModel>> model =
        data_->MakeModel({options_.model, options_.seed, rank_, options_.threads, options_.compute, options_.gpt,
                          device->device, options_.loss});
    if (!model.ok()) return model.status();
    model_ = *std::move(model);
    arithmetic_ = ArithmeticKind(device->device, options_.threads);
    return absl::OkStatus();
  }

  // The model's, and what workers agree on behind its buffers.
  absl::StatusOr<ParameterLayout> Layout() const {
    std::vector<TensorSpec> tensors = model_->tensors();
    if (options_.local_steps.kind != StepsChoice::Kind::kFixed) {
      const auto counters = std::find_if(tensors.begin(), tensors.end(),
                                         [](const TensorSpec& tensor) { return tensor.kind == TensorKind::kCounter; });
      tensors.insert(counters, {std::string(kAgreedTensor), {kAgreedElements}, TensorKind::kBuffer});
    }
    return ParameterLayout::Create(std::move(tensors), options_.bucket_elements);
  }

  // Then whatever else can fail, and the cluster.
  absl::Status Join() {
    if (!options_.trace.empty()) {
      auto trace = TraceFile::Create(options_.trace, absl::StrCat("worker ", rank_), rank_);
      if (!trace.ok()) return trace.status();
      trace_ = *std::move(trace);
    }
    if (rank_ == 0 && !options_.tensorboard.empty()) {
      absl::StatusOr<std::unique_ptr<EventFile>> events = EventFile::Create(options_.tensorboard);
      if (!events.ok()) return absl::InvalidArgumentError(absl::StrCat("--tensorboard: ", events.status().message()));
      tensorboard_ = *std::move(events);
      spdlog::info("event=tensorboard file=\"{}\"", tensorboard_->path());
    }
    if (!options_.metrics_listen.empty()) {
      absl::StatusOr<std::unique_ptr<MetricsServer>> server =
          MetricsServer::Start(options_.metrics_listen, metrics_.registry());
      if (!server.ok()) return server.status();
      metrics_server_ = *std::move(server);
      spdlog::info("event=metrics address={}", metrics_server_->address());
    }

    absl::StatusOr<ParameterLayout> layout = Layout();
    if (!layout.ok()) return layout.status();
    if (absl::Status status = MakeAdaptiveSteps(); !status.ok()) return status;
    RunSettings settings = {options_, data_->checksum(), model_->file_crc32c(),
                            adaptive_steps_ == nullptr ? 0 : adaptive_steps_->crc32c()};
    settings.options.train_examples = data_->train_examples();
    settings.options.bucket_elements = layout->bucket_elements();
    if (!options_.checkpoint_dir.empty()) {
      checkpoints_.emplace(settings, layout->fingerprint(), &metrics_);
      absl::StatusOr<std::optional<WorkerCheckpoint>> found = checkpoints_->Find();
      if (!found.ok()) return found.status();
      restored_ = *std::move(found);
    }
    if (rank_ == 0 && !options_.model_output.empty()) {
      absl::Status status = CheckReplaceable(options_.model_output, layout->total_elements() * sizeof(float));
      if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("--model_output=", status.message()));
    }
    return Connect(*layout, DescribeForServers(settings));
  }

  absl::Status Train() {
    for (uint32_t epoch = 1; epoch <= options_.epochs; ++epoch) {
      if (absl::Status status = TrainEpoch(epoch); !status.ok()) return status;
    }
    if (checkpoints_.has_value()) checkpoints_->Last(parts(), {});
    // Before the model is saved: the cluster does not wait for a disk.
    cluster_->Leave(/*finished=*/true);
    if (gpu_engine_ != nullptr) LogGpuCounts(gpu_engine_->counts());
    absl::Status saved = SaveModel();
    const absl::StatusOr<std::vector<float>> weights = OnHost(model_->device(), model_->weights());
    if (!weights.ok()) return weights.status();
    progress_.Done(exchange_->step() - 1, Crc32c(weights->data(), weights->size() * sizeof(float)));
    return saved.ok() ? Judge() : saved;
  }

 private:
  // Since this process's start.
  struct Result {
    uint64_t steps = 0;
    uint64_t skipped = 0;
    double last_loss = 0;
  };

  absl::Status Judge() const {
    const char* what = 2 * result_.skipped >= std::max<uint64_t>(result_.steps, 1) ? "most steps were skipped"
                       : !std::isfinite(result_.last_loss)                         ? "the last loss is not finite"
                                                                                   : nullptr;
    if (what == nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("the training is over, but diverged: ", what, " (",
                                                      result_.skipped, " of ", result_.steps,
                                                      " steps skipped); lower --lr"));
  }

  absl::Status SaveModel() {
    if (rank_ != 0 || options_.model_output.empty()) return absl::OkStatus();
    SystemClock clock;
    SaveOptions save;
    save.patience = options_.save_timeout;
    save.should_stop = options_.should_stop;
    save.on_first = [this](const absl::Status& status) {
      spdlog::error("event=model_not_saved reason=\"{}\" trying_for_seconds={:.0f}", std::string(status.message()),
                    absl::ToDoubleSeconds(options_.save_timeout));
    };
    absl::Status status = SaveOutput(
        options_.model_output, [this](const std::string& path) { return model_->Save(path); }, clock, save);
    if (status.ok()) return status;
    return absl::InternalError(absl::StrCat("the training is over, but not its model in place: ", status.message()));
  }

  absl::Status Connect(const ParameterLayout& layout, const std::string& agreement) {
    GradientCompressorOptions push = options_.exchange;
    if (options_.optimizer.kind.has_value()) push.clip_norm = 0;  // see MakeOptimizer
    // Before it joins: the others wait for whoever has.
    absl::StatusOr<std::unique_ptr<BucketEngine>> engine = MakeEngine(layout, push);
    if (!engine.ok()) return engine.status();
    if (checkpoints_.has_value()) {
      auto remade = std::make_unique<RemadeBuckets>(layout, *std::move(engine));
      remade_ = remade.get();
      engine = std::move(remade);
    }
    if (absl::Status status = MakeRatio(**engine); !status.ok()) return status;
    if (absl::Status status = MakeOptimizer(layout); !status.ok()) return status;
    GrpcClusterOptions options = options_.cluster;
    options.agreement = agreement;
    if (restored_.has_value()) {
      if (absl::Status status = TakeRunOf(*restored_, &options.run); !status.ok()) return status;
    }
    absl::StatusOr<std::unique_ptr<GrpcCluster>> cluster = GrpcCluster::Join(options, layout);
    if (!cluster.ok()) return cluster.status();
    cluster_ = *std::move(cluster);
    spdlog::info("event=run name={}", cluster_->run());
    if (absl::Status status = CheckTakesPart(); !status.ok()) {
      cluster_->Leave(/*finished=*/false);
      return status;
    }
    exchange_ = std::make_unique<GradientExchange>(layout, *std::move(engine), cluster_.get());
    exchange_->set_trace(trace_);
    progress_.Joined({options_.model, layout.parameter_elements(), layout.tensors().size(), layout.bucket_count(),
                      sampler_->steps_per_epoch()});
    absl::Status status;
    if (!restored_.has_value()) {  // else the exchange goes on where it was; see below
      status = TakeFirst();
    } else {
      status = WaitForWeights();
    }
    const bool repeats = restored_.has_value();
    bool holds_back = false;
    if (status.ok() && repeats) status = GoOn(&holds_back);
    rounds_.emplace(exchange_->step(), holds_back);
    if (status.ok()) status = BeginCheckpoints();
    if (status.ok()) status = BeginSteps();
    if (status.ok()) status = BeginRatio(repeats);
    listener_.emplace(model_.get(), optimizer_.get(), exchange_.get(), gpu_engine_, options_.check_engine);
    return status;
  }

  // The training's weights as they are: without a checkpoint to go on from.
  absl::Status TakeFirst() {
    const absl::Span<float> published = optimizer_ == nullptr ? model_->weights() : optimizer_->replica();
    absl::Status status = TakeFirstWeights(*cluster_, exchange_.get(), published, /*is_source=*/rank_ == 0);
    if (status.ok()) status = WaitForWeights();
    if (status.ok()) status = TakePublished();
    if (status.ok()) status = ReadAgreed();
    if (!status.ok() || cluster_->version() == 0) return status;
    spdlog::info("event=caught_up step={}", exchange_->step());
    model_->SetCounters(steps_before());
    if (optimizer_ != nullptr) optimizer_->SetStepsBefore(steps_before());
    return absl::OkStatus();
  }

  // The checkpoint's run is this worker's.
  absl::Status TakeRunOf(const WorkerCheckpoint& checkpoint, RunIdentity* run) const {
    if (!run->name.empty() && run->name != checkpoint.run) {
      return absl::InvalidArgumentError(absl::StrCat("--checkpoint_dir=", options_.checkpoint_dir, " holds run ",
                                                     checkpoint.run, ", but this worker has --run=", run->name,
                                                     ": name that run's folder, or an empty one"));
    }
    *run = {checkpoint.run, RunClaim::kBegun};
    return absl::OkStatus();
  }

  // Once it has joined: may it go on?
  absl::Status CheckTakesPart() {
    if (adaptive_steps_ != nullptr && !cluster_->is_sync()) {
      return absl::InvalidArgumentError(absl::StrCat("--local_steps=", AbslUnparseFlag(options_.local_steps),
                                                     " needs servers with --consistency=sync: with any other, workers "
                                                     "are at different versions, so that they cannot decide alike"));
    }
    if (options_.overlap > 0 && !cluster_->is_sync()) {
      return absl::InvalidArgumentError(
          "--overlap needs servers with --consistency=sync: with any other, no worker waits for an exchange anyway");
    }
    if (!options_.sparse_adam) {
      absl::Status status = CheckServersTakePart(cluster_->server_settings(), AbslUnparseFlag(options_.ratio));
      if (!status.ok()) return status;
    }
    if (!checkpoints_.has_value()) return absl::OkStatus();
    const bool has_taken_part = cluster_->next_step() > 1;
    if (restored_.has_value() || !has_taken_part || options_.without_checkpoint) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "--checkpoint_dir=", options_.checkpoint_dir, " holds no checkpoint of worker ", rank_, ", but it has made ",
        cluster_->next_step() - 1, " steps of run ", cluster_->run(),
        ": restore it from a copy; or, to go on from the servers' weights and lose what the worker had not sent yet, "
        "give --without_checkpoint"));
  }

  // From here on what is sent is noted, and what was sent before is sent again.
  absl::Status BeginCheckpoints() {
    if (!checkpoints_.has_value()) return absl::OkStatus();
    absl::StatusOr<std::shared_ptr<SentLog>> sent =
        SentLog::Open(options_.checkpoint_dir, rank_, cluster_->run(), exchange_->step());
    if (!sent.ok()) return sent.status();
    remade_->set_log(*sent);
    checkpoints_->Begin(cluster_->run(), arithmetic_, *std::move(sent));
    return absl::OkStatus();
  }

  void NoteArithmetic(const std::string& of_checkpoint) const {
    const std::vector<SettingDifference> differences = Differences(of_checkpoint, arithmetic_);
    if (differences.empty()) return;
    std::vector<std::string> all;
    all.reserve(differences.size());
    for (const SettingDifference& difference : differences) {
      all.push_back(absl::StrCat(difference.first, " there, ", difference.second, " here"));
    }
    spdlog::warn(
        "event=other_arithmetic differs=\"{}\" consequence=\"gradients may round differently from those before the "
        "checkpoint; steps that are made once more send what they sent then\"",
        absl::StrJoin(all, "; "));
  }

  // Once, after the steps that were made once more.
  void TellRemade() {
    const RemadeBuckets::Counts counts = remade_ == nullptr ? RemadeBuckets::Counts() : remade_->counts();
    if (counts.remade == 0 || remade_told_) return;
    if (std::exchange(remade_before_, counts.remade) != counts.remade) return;
    remade_told_ = true;
    if (counts.differed == 0) {
      spdlog::info("event=steps_made_again buckets={} differed=0", counts.remade);
    } else {
      spdlog::warn(
          "event=steps_made_again buckets={} differed={} reason=\"gradients were not those of the first time, bit for "
          "bit; what was sent then was sent again, and the residual follows it\"",
          counts.remade, counts.differed);
    }
  }

  // Of the model's device; also notes it in gpu_engine_ if that is a GPU.
  absl::StatusOr<std::unique_ptr<BucketEngine>> MakeEngine(const ParameterLayout& layout,
                                                           const GradientCompressorOptions& push) {
    const Device device = model_->device();
    const uint32_t workers = options_.cluster.worker_count;
    std::unique_ptr<BucketEngine> engine;
    if (device.is_gpu) {
      absl::StatusOr<std::unique_ptr<CudaBuckets>> gpu =
          MakeCudaBuckets(layout, push, workers, {device.gpu, kModelStream});
      if (absl::IsUnimplemented(gpu.status())) return absl::InvalidArgumentError(gpu.status().message());
      if (!gpu.ok()) return gpu.status();
      gpu_engine_ = gpu->get();
      engine = *std::move(gpu);
    }
    if (engine != nullptr && !options_.check_engine) return engine;
    absl::StatusOr<std::unique_ptr<HostBuckets>> host = HostBuckets::Create(layout, push, workers);
    if (!host.ok()) return host.status();
    if (!options_.check_engine) return *std::move(host);
    if (engine == nullptr) engine = *HostBuckets::Create(layout, push, workers);
    return std::make_unique<CheckedBuckets>(
        layout, std::move(engine), *std::move(host),
        [device](absl::Span<const float> from, absl::Span<float> to) { return CopyToHost(device, from, to); });
  }

  static void LogGpuCounts(const CudaCounts& counts) {
    spdlog::info("event=gpu encode_batches={} apply_batches={} searches={} waits_for_model={}", counts.encode_batches,
                 counts.apply_batches, counts.searches, counts.synchronising);
  }

  // What reads the weights from now on finds all replies in them.
  absl::Status WaitForWeights() {
    return gpu_engine_ == nullptr ? absl::OkStatus() : gpu_engine_->WaitForWeights(kModelStream);
  }

  // The worker's own optimizer, if it has one. Clipping then comes before the optimizer, not before the push.
  absl::Status MakeOptimizer(const ParameterLayout& layout) {
    if (!options_.optimizer.kind.has_value()) return absl::OkStatus();
    absl::StatusOr<std::vector<ParameterGroup>> groups = ParseParameterGroups(options_.param_groups);
    if (!groups.ok()) return groups.status();
    const WorkerOptimizerOptions options = {options_.own_optimizer(), *std::move(groups), options_.exchange.clip_norm,
                                            options_.overlap > 0};
    absl::StatusOr<std::unique_ptr<LocalOptimizer>> optimizer;
    if (model_->device().is_gpu) {
      optimizer = MakeTensorOptimizer(options, layout, model_->device(), model_->weights());
    } else {
      optimizer = WorkerOptimizer::Create(options, layout, model_->weights());
    }
    if (!optimizer.ok()) return optimizer.status();
    optimizer_ = *std::move(optimizer);
    if (adaptive_steps_ == nullptr) return absl::OkStatus();
    return CopyFromHost(model_->device(), WriteSteps(FirstSteps(adaptive_steps_->first_steps())),
                        OfAgreed(optimizer_->replica()));
  }

  // --local_steps=auto or @FILE, whose errors come before it joins.
  absl::Status MakeAdaptiveSteps() {
    if (options_.local_steps.kind == StepsChoice::Kind::kFixed) return absl::OkStatus();
    if (options_.epochs * sampler_->steps_per_epoch() > kMostAgreedPosition) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--local_steps=auto can count ", kMostAgreedPosition, " steps, but --epochs=", options_.epochs, " have ",
          options_.epochs * sampler_->steps_per_epoch(), ": give fewer epochs or a number of local steps"));
    }
    absl::StatusOr<std::unique_ptr<AdaptiveSteps>> steps =
        AdaptiveSteps::Create(options_.local_steps, options_.local_steps_log);
    if (!steps.ok()) return steps.status();
    adaptive_steps_ = *std::move(steps);
    return absl::OkStatus();
  }

  absl::Status BeginSteps() {
    if (adaptive_steps_ == nullptr) return absl::OkStatus();
    if (absl::Status status = adaptive_steps_->Begin(exchange_->step(), agreed_.steps); !status.ok()) return status;
    TellSteps();
    return absl::OkStatus();
  }

  // Rounds make other steps from the coming exchange's on.
  void TellSteps() {
    progress_.LocalSteps(exchange_->step(), agreed_.steps);
    metrics_.NoteLocalSteps(agreed_.steps);
    if (trace_ == nullptr) return;
    const absl::Time now = SteadyNow();
    trace_->Span(TraceFile::Row::kTraining, absl::StrCat("local steps ", agreed_.steps), now, now,
                 {static_cast<int64_t>(exchange_->step())});
  }

  // The elements that workers agree on, of what is exchanged.
  absl::Span<float> OfAgreed(absl::Span<float> exchanged) const { return exchanged.subspan(model_->weights().size()); }

  // What is published of them.
  absl::Status ReadAgreed() {
    if (adaptive_steps_ == nullptr) return absl::OkStatus();
    absl::StatusOr<std::vector<float>> published = OnHost(model_->device(), OfAgreed(optimizer_->replica()));
    if (!published.ok()) return published.status();
    published_agreed_ = *std::move(published);
    agreed_ = ReadSteps(published_agreed_);
    return absl::OkStatus();
  }

  // What the coming exchange pushes of them.
  absl::Status PushAgreed() {
    if (adaptive_steps_ == nullptr) return absl::OkStatus();
    pushed_ = adaptive_steps_->Next(exchange_->step(), agreed_, sampler_->steps_per_epoch());
    std::vector<float> difference(kAgreedElements);
    BufferDifference(published_agreed_, WriteSteps(pushed_), absl::MakeSpan(difference));
    return CopyFromHost(model_->device(), difference, OfAgreed(optimizer_->difference()));
  }

  // --ratio=auto or @FILE, whose errors come before it joins.
  absl::Status MakeRatio(BucketEngine& engine) {
    if (options_.ratio.kind == RatioChoice::Kind::kFixed) return absl::OkStatus();
    if (absl::Status can = engine.SetLevel({}); !can.ok()) return absl::InvalidArgumentError(can.message());
    std::string log = options_.ratio_log;
    if (log.empty() && !options_.checkpoint_dir.empty()) {
      log = absl::StrCat(options_.checkpoint_dir, "/worker-", rank_, ".ratio");
    }
    absl::StatusOr<std::unique_ptr<AdaptiveRatio>> ratio = AdaptiveRatio::Create(
        options_.ratio, log, adaptive_steps_ == nullptr ? RatioControl::kFirstLevel : RatioControl::kLowestBesideSteps);
    if (!ratio.ok()) return ratio.status();
    adaptive_ratio_ = *std::move(ratio);
    return absl::OkStatus();
  }

  // Restarted from a checkpoint (`repeats`), the steps that servers have counted, and one that some may have, send what
  // they sent the first time.
  absl::Status BeginRatio(bool repeats) {
    if (adaptive_ratio_ == nullptr) return absl::OkStatus();
    absl::Status status =
        adaptive_ratio_->Begin(exchange_->step(), repeats && cluster_->is_sync() ? cluster_->version() + 1 : 0);
    if (status.ok()) NoteRatio();
    return status;
  }

  // The coming step sends something else than the last.
  void NoteRatio() {
    const SendLevel level = adaptive_ratio_->LevelOf(exchange_->step());
    progress_.Ratio(exchange_->step(), level);
    metrics_.NoteRatio(level.ratio);
    if (trace_ == nullptr) return;
    const absl::Time now = SteadyNow();
    trace_->Span(TraceFile::Row::kTraining, absl::StrCat("ratio ", level.ratio, " ", Name(level.value_encoding)), now,
                 now, {static_cast<int64_t>(exchange_->step())});
  }

  // From the checkpoint. `holds_back`: it holds steps whose exchange has not begun.
  absl::Status GoOn(bool* holds_back) {
    const uint64_t step = restored_->exchange.step;
    if (cluster_->version() == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          options_.checkpoint_dir, " holds a checkpoint of step ", step,
          ", but the servers begin anew: start them with their --state_dir, or this with an empty --checkpoint_dir"));
    }
    absl::StatusOr<RestoredRun> run = Restore(*restored_, parts());
    if (!run.ok()) return run.status();
    restored_totals_ = run->totals;
    *holds_back = run->holds_back;
    if (absl::Status status = ReadAgreed(); !status.ok()) return status;
    NoteArithmetic(restored_->arithmetic);
    spdlog::info("event=restored step={} servers_version={}", step, cluster_->version());
    restored_.reset();
    return absl::OkStatus();
  }

  // That this worker's training had made when it joined.
  uint64_t steps_before() const {
    return adaptive_steps_ != nullptr ? agreed_.position : (exchange_->step() - 1) * options_.local_steps.steps;
  }

  // Of all the training's.
  struct StepRange {
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  // Of the round of `exchange`, before which `agreed` holds.
  StepRange StepsOf(uint64_t exchange, const AgreedSteps& agreed) const {
    const uint64_t per_epoch = sampler_->steps_per_epoch();
    if (adaptive_steps_ != nullptr) return {agreed.position, agreed.position + StepsOfRound(agreed, per_epoch)};
    const uint64_t each = options_.local_steps.steps;
    const uint64_t rounds = (per_epoch + each - 1) / each;
    const uint64_t epoch = (exchange - 1) / rounds * per_epoch;
    const uint64_t begin = (exchange - 1) % rounds * each;
    return {epoch + begin, epoch + std::min(begin + each, per_epoch)};
  }

  // Those that are made next.
  StepRange ComingSteps() const { return StepsOf(rounds_->computing(), rounds_->is_under_way() ? pushed_ : agreed_); }

  RunParts parts() {
    return {model_.get(), exchange_.get(), optimizer_.get(), options_.overlap > 0,
            rounds_.has_value() && rounds_->holds_back()};
  }

  // No exchange is under way. Cancelled if the training shall end here.
  absl::Status BeforeExchange(const EpochTotals& totals) {
    if (options_.should_stop && options_.should_stop()) return EndEarly(totals);
    if (checkpoints_.has_value()) checkpoints_->BeforeStep(parts(), totals);
    return absl::OkStatus();
  }

  absl::Status TrainEpoch(uint32_t epoch) {
    const uint64_t steps = sampler_->steps_per_epoch();
    const uint64_t first = (epoch - 1) * steps;
    // Passed before this worker joined?
    if (StepsOf(exchange_->step(), agreed_).begin >= first + steps) return absl::OkStatus();
    EpochTotals totals = std::exchange(restored_totals_, {});  // of the epoch that a checkpoint is in
    sampler_->StartEpoch(epoch);
    absl::Status status;
    if (rounds_->holds_back()) status = BeginHeldBack();  // restored
    // Rounds may close without this worker, so that the next is a later one.
    while (status.ok() && ComingSteps().begin < first + steps) {
      if (!rounds_->is_under_way()) status = BeforeExchange(totals);
      if (!status.ok()) return status;
      const StepRange coming = ComingSteps();
      const uint64_t begin = coming.begin - first, end = coming.end - first;
      status =
          options_.overlap > 0 ? TrainOverlapped(begin, end, epoch, &totals) : TrainRound(begin, end, epoch, &totals);
    }
    if (status.ok() && rounds_->is_under_way()) status = FinishLast(&totals);
    if (!status.ok()) return status;
    std::optional<TestResult> test;
    if (rank_ == 0) {  // the others wait for it in their next exchange
      const absl::Duration begin = MonotonicNow();
      absl::StatusOr<Evaluation> evaluation = model_->Evaluate();
      if (!evaluation.ok()) return evaluation.status();
      totals.evaluate_seconds = SecondsSince(begin);
      test = TestResult{evaluation->loss, evaluation->accuracy};
      metrics_.NoteTest(evaluation->loss, evaluation->accuracy);
      if (tensorboard_ != nullptr) AddTest(*test, epoch * steps);
    }
    progress_.Epoch(epoch, totals, totals.steps * model_->weights().size() * sizeof(float), test);
    return absl::OkStatus();
  }

  void AddLoss(uint32_t epoch, uint64_t end) {
    if (tensorboard_ == nullptr) return;
    const Scalar loss = {"loss/train", result_.last_loss};
    tensorboard_->Add((epoch - 1) * sampler_->steps_per_epoch() + end, {loss});
  }

  void AddTest(const TestResult& test, uint64_t steps) {
    std::vector<Scalar> scalars = {{"loss/test", test.loss}};
    if (!std::isnan(test.accuracy)) scalars.push_back({"accuracy/test", test.accuracy});
    tensorboard_->Add(steps, scalars);
  }

  // Between two steps. With a checkpoint it is not the end for the servers: they keep this worker's place for as long
  // as its lease, for rounds that closed without it could not be made once more by its successor.
  absl::Status EndEarly(const EpochTotals& totals) {
    if (checkpoints_.has_value()) {
      checkpoints_->Last(parts(), totals);
    } else {
      cluster_->Leave(/*finished=*/false);
    }
    return absl::CancelledError(absl::StrCat("stopped by a signal after step ", exchange_->step() - 1));
  }

  // Steps [begin, end) of the epoch, and one exchange, which begins while the last one's backward pass still runs.
  absl::Status TrainRound(uint64_t begin, uint64_t end, uint32_t epoch, EpochTotals* totals) {
    const absl::Duration start = MonotonicNow();
    if (absl::Status status = SetLevel(); !status.ok()) return status;
    if (absl::Status status = PushAgreed(); !status.ok()) return status;
    absl::StatusOr<std::vector<PassLoss>> losses = MakeSteps(begin, end, /*exchanges=*/true);
    if (!losses.ok()) return losses.status();
    rounds_->NoteSteps();
    rounds_->NoteBegun();
    const double compute_seconds = SecondsSince(start);
    absl::Status status = FinishExchange(compute_seconds, totals);
    if (status.ok()) status = TakePublished();
    // The last gradient has arrived, so losses have.
    if (status.ok()) status = NoteSteps(*losses, compute_seconds, totals);
    if (!status.ok()) return status;
    AddLoss(epoch, end);
    totals->step_seconds += SecondsSince(start);
    progress_.Step(epoch, result_.last_loss, *totals);
    return absl::OkStatus();
  }

  // Likewise, but the first of the steps are made while the last round's exchange is under way, and this one's begins
  // when all are made.
  absl::Status TrainOverlapped(uint64_t begin, uint64_t end, uint32_t epoch, EpochTotals* totals) {
    const absl::Duration start = MonotonicNow();
    const uint64_t ahead = rounds_->is_under_way() ? std::min(begin + options_.overlap, end) : begin;
    std::vector<PassLoss> losses;
    absl::Status status = MakeStepsAlone(begin, ahead, &losses);
    const double ahead_seconds = SecondsSince(start);
    double wait_seconds = 0;
    if (status.ok() && rounds_->is_under_way()) {
      status = FinishExchange(last_compute_seconds_ + ahead_seconds, totals);
      wait_seconds = SecondsSince(start) - ahead_seconds;
      if (status.ok() && ahead < end) status = optimizer_->TakeAnswer(model_->weights());
    }
    if (status.ok()) status = MakeStepsAlone(ahead, end, &losses);
    if (status.ok()) status = optimizer_->NoteMoved(model_->weights());
    if (!status.ok()) return status;
    const double compute_seconds = SecondsSince(start) - wait_seconds;
    last_compute_seconds_ = compute_seconds - ahead_seconds;
    rounds_->NoteSteps();
    status = NoteSteps(losses, compute_seconds, totals);
    if (!status.ok()) return status;
    AddLoss(epoch, end);
    totals->step_seconds += SecondsSince(start);
    progress_.Step(epoch, result_.last_loss, *totals);
    status = BeforeExchange(*totals);
    return status.ok() ? BeginHeldBack() : status;
  }

  // Overlapped: the exchange of an epoch's last steps, beside which none are made.
  absl::Status FinishLast(EpochTotals* totals) {
    const absl::Duration start = MonotonicNow();
    absl::Status status = FinishExchange(last_compute_seconds_, totals);
    if (status.ok()) status = TakePublished();
    totals->step_seconds += SecondsSince(start);
    return status;
  }

  // Steps [begin, end) without an exchange, complete when it returns.
  absl::Status MakeStepsAlone(uint64_t begin, uint64_t end, std::vector<PassLoss>* losses) {
    absl::StatusOr<std::vector<PassLoss>> made = MakeSteps(begin, end, /*exchanges=*/false);
    if (!made.ok()) return made.status();
    std::move(made->begin(), made->end(), std::back_inserter(*losses));
    return model_->device().is_gpu ? SynchroniseStream(model_->device().gpu, kModelStream) : absl::OkStatus();
  }

  absl::StatusOr<std::vector<PassLoss>> MakeSteps(uint64_t begin, uint64_t end, bool exchanges) {
    const auto round = static_cast<int64_t>(rounds_->computing());
    std::vector<PassLoss> losses;
    for (uint64_t step = begin; step < end; ++step) {
      listener_->set_exchanges(exchanges && step + 1 == end);
      const absl::Time step_begin = SteadyNow();
      absl::StatusOr<PassLoss> loss = model_->ForwardBackward(sampler_->Batch(step), &*listener_);
      if (!loss.ok()) return loss.status();
      losses.push_back(*std::move(loss));
      if (trace_ != nullptr) TracePasses(step_begin, round);
    }
    return losses;
  }

  // What the coming exchange sends.
  absl::Status SetLevel() {
    return adaptive_ratio_ == nullptr ? absl::OkStatus()
                                      : exchange_->SetLevel(adaptive_ratio_->LevelOf(exchange_->step()));
  }

  // The exchange of steps that were held back; the worker goes on ahead of it.
  absl::Status BeginHeldBack() {
    absl::Status status = SetLevel();
    if (status.ok()) status = PushAgreed();
    if (status.ok()) status = optimizer_->GoAhead(model_->weights());
    if (!status.ok()) return status;
    listener_->ExchangeAll();
    rounds_->NoteBegun();
    return absl::OkStatus();
  }

  // Waits for the exchange that is under way; `compute_seconds` went by since it, or the steps before it, began.
  absl::Status FinishExchange(double compute_seconds, EpochTotals* totals) {
    const absl::Duration begin = MonotonicNow();
    const absl::Time trace_begin = SteadyNow();
    absl::StatusOr<StepTraffic> traffic = exchange_->Finish(listener_->last_token());
    const double wait_seconds = SecondsSince(begin);
    if (!traffic.ok()) return traffic.status();
    const uint64_t step = exchange_->step() - 1 - traffic->missed;
    if (trace_ != nullptr) {
      trace_->Span(TraceFile::Row::kTraining, "wait", trace_begin, SteadyNow(), {static_cast<int64_t>(step)});
    }
    rounds_->NoteFinished(exchange_->step());
    if (absl::Status status = WaitForWeights(); !status.ok()) return status;
    const AgreedSteps before = agreed_;
    if (absl::Status status = ReadAgreed(); !status.ok()) return status;
    refused_ = traffic->refused;
    NoteAbsence(*traffic);
    totals->compress_seconds += traffic->compress_seconds;
    totals->exchange_seconds += traffic->exchange_seconds;
    totals->pushed_bytes += traffic->pushed_bytes;
    totals->pulled_bytes += traffic->pulled_bytes;
    metrics_.NoteExchange(*traffic, model_->weights().size());
    metrics_.NoteRetries(cluster_->retries());
    if (tensorboard_ != nullptr) {
      AddTraffic(StepsOf(step, before).end, std::nullopt, *traffic, model_->weights().size(), tensorboard_.get());
    }
    return Adapt(step, before, compute_seconds, wait_seconds);
  }

  // What the rounds to come send and make, after that of `exchange`, before which `before` held, took so long.
  absl::Status Adapt(uint64_t exchange, const AgreedSteps& before, double compute_seconds, double wait_seconds) {
    RatioControl::Limits limits;
    if (adaptive_steps_ != nullptr) {
      limits = LimitsBeside(before.steps);
      const bool can_send_less = adaptive_ratio_ != nullptr && adaptive_ratio_->CanSendLess(limits);
      if (StepsOfRound(before, sampler_->steps_per_epoch()) == before.steps) {  // not an epoch's shorter last one
        adaptive_steps_->NoteRound(before.steps, compute_seconds, wait_seconds, can_send_less);
      }
      const absl::StatusOr<bool> changed = adaptive_steps_->NoteDecided(exchange_->step(), agreed_.steps);
      if (!changed.ok()) return changed.status();
      if (*changed) TellSteps();
    }
    if (adaptive_ratio_ == nullptr) return absl::OkStatus();
    const absl::StatusOr<bool> changed = adaptive_ratio_->NoteRound(exchange, compute_seconds, wait_seconds, limits);
    if (!changed.ok()) return changed.status();
    if (*changed) NoteRatio();
    if (agreed_.steps != before.steps) adaptive_ratio_->StartWindow();
    return absl::OkStatus();
  }

  // Bytes yield first, down to a level; then steps, up to the most; then bytes again. And the other way round.
  static RatioControl::Limits LimitsBeside(uint32_t steps) {
    RatioControl::Limits limits;
    if (steps < kMostLocalSteps) limits.lowest = RatioControl::kLowestBesideSteps;
    limits.may_go_up = steps <= kFewestLocalSteps;
    return limits;
  }

  // The model goes on from what is published.
  absl::Status TakePublished() {
    if (optimizer_ != nullptr) {
      if (absl::Status status = optimizer_->TakePublished(model_->weights()); !status.ok()) return status;
    }
    model_->TakePublishedBuffers();
    return absl::OkStatus();
  }

  // These steps have been made, and their losses are known.
  absl::Status NoteSteps(const std::vector<PassLoss>& losses, double compute_seconds, EpochTotals* totals) {
    double loss_sum = 0;
    for (const PassLoss& loss : losses) loss_sum += loss.Value();
    const uint64_t steps = losses.size();
    uint64_t skipped = optimizer_ == nullptr ? 0 : optimizer_->TakeSkipped();
    if (refused_) skipped = steps;
    if (absl::Status status = NoteSkipped(skipped, steps); !status.ok()) return status;
    totals->steps += steps;
    totals->refused_steps += skipped;
    totals->loss += loss_sum;
    totals->compute_seconds += compute_seconds;
    result_.steps += steps;
    result_.skipped += skipped;
    result_.last_loss = loss_sum / static_cast<double>(steps);
    cluster_->NoteProgress(exchange_->step() - 1, result_.last_loss);
    metrics_.NoteSteps(steps, refused_ ? steps : 0, result_.last_loss, compute_seconds, model_->weights().size());
    TellRemade();
    return absl::OkStatus();
  }

  // Of the last round's steps, so many changed nothing: alike at all workers where the servers' optimizer steps, for
  // they are told of the same refusals; else only here.
  absl::Status NoteSkipped(uint64_t skipped, uint64_t steps) {
    skipped_in_row_ = skipped == steps ? skipped_in_row_ + skipped : 0;
    if (skipped == 0) return absl::OkStatus();
    const uint64_t step = exchange_->step() - 1;
    spdlog::warn("event=step_refused step={} steps={} reason=\"a gradient was not finite\"", step, skipped);
    if (options_.stop_on_non_finite) {
      return absl::FailedPreconditionError(absl::StrCat(
          "step ", step, ": a gradient was not finite; lower --lr, or run without --stop_on_non_finite to skip it"));
    }
    if (options_.max_skipped_steps == 0 || skipped_in_row_ < options_.max_skipped_steps) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", step, ": the last ", skipped_in_row_,
        " steps were skipped, because the loss or a gradient was not finite; lower --lr (--max_skipped_steps is the "
        "limit)"));
  }

  void NoteAbsence(const StepTraffic& traffic) const {
    if (traffic.replaced > 0) {
      spdlog::warn(
          "event=weights_replaced step={} buckets={} reason=\"the servers' logs do not reach back to this worker's "
          "weights, or hold more than the weights, or these were damaged: it goes on from the published weights, with "
          "its residual\"",
          exchange_->step() - 1, traffic.replaced);
    }
    if (traffic.missed > 0) {
      spdlog::warn("event=steps_missed step={} missed={} reason=\"the others went on without this worker\"",
                   exchange_->step() - 1 - traffic.missed, traffic.missed);
    }
  }

  // The step that began then and is over now.
  void TracePasses(absl::Time begin, int64_t exchange_step) {
    const TraceLabels labels = {exchange_step};
    trace_->Span(TraceFile::Row::kTraining, "forward", begin, listener_->loss_time(), labels);
    trace_->Span(TraceFile::Row::kTraining, "backward", listener_->loss_time(), SteadyNow(), labels);
  }

  const TrainerOptions& options_;
  const uint32_t rank_;
  WorkerMetrics metrics_;
  Progress progress_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::shared_ptr<TraceFile> trace_;        // null: none
  std::unique_ptr<EventFile> tensorboard_;  // null: none
  std::unique_ptr<TrainingData> data_;
  std::optional<EpochSampler> sampler_;
  std::unique_ptr<TrainingModel> model_;
  std::optional<RunCheckpoints> checkpoints_;  // only with --checkpoint_dir
  std::optional<WorkerCheckpoint> restored_;   // until it has been restored
  EpochTotals restored_totals_;
  Result result_;
  bool refused_ = false;             // the last exchange, for a gradient that was not finite
  double last_compute_seconds_ = 0;  // overlapped: of the last round's steps, but for those beside an exchange
  uint64_t skipped_in_row_ = 0;      // rounds
  std::unique_ptr<GrpcCluster> cluster_;
  std::unique_ptr<LocalOptimizer> optimizer_;   // null: the servers' makes the steps
  std::unique_ptr<GradientExchange> exchange_;  // after cluster_ and optimizer_: its thread uses them
  CudaBuckets* gpu_engine_ = nullptr;           // the exchange's, if the model is on a GPU
  RemadeBuckets* remade_ = nullptr;             // the exchange's, with --checkpoint_dir
  uint64_t remade_before_ = 0;
  bool remade_told_ = false;
  std::string arithmetic_;
  std::optional<RoundOrder> rounds_;  // from Connect on
  std::optional<RoundListener> listener_;
  std::unique_ptr<AdaptiveRatio> adaptive_ratio_;  // null: --ratio is a number
  std::unique_ptr<AdaptiveSteps> adaptive_steps_;  // null: --local_steps is a number; then the rest is not used
  std::vector<float> published_agreed_;            // what workers agree on, as published before the coming exchange
  AgreedSteps agreed_;                             // the same
  AgreedSteps pushed_;                             // with the last exchange that has begun
};

}  // namespace

absl::Status RunTraining(const TrainerOptions& options) {
  Trainer trainer(options);
  if (absl::Status status = trainer.Load(); !status.ok()) return status;
  if (absl::Status status = trainer.Join(); !status.ok()) return status;
  return trainer.Train();
}

absl::StatusOr<size_t> CheckTraining(const TrainerOptions& options) {
  Trainer trainer(options);
  if (absl::Status status = trainer.Load(); !status.ok()) return status;
  const absl::StatusOr<ParameterLayout> layout = trainer.Layout();
  if (!layout.ok()) return layout.status();
  return layout->bucket_count();
}

}  // namespace cddp
