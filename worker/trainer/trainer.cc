#include "worker/trainer/trainer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "common/codec/crc32c.h"
#include "worker/checkpoint/remade_buckets.h"
#include "worker/client/begin_training.h"
#include "worker/cluster/grpc_cluster.h"
#include "worker/cuda/cuda_buckets.h"
#include "worker/cuda/cuda_stream.h"
#include "worker/data/sampler.h"
#include "worker/exchange/gradient_exchange.h"
#include "worker/model/arithmetic.h"
#include "worker/model/device.h"
#include "worker/model/training_model.h"
#include "worker/rounds/round_order.h"
#include "worker/trainer/pace.h"
#include "worker/trainer/progress.h"
#include "worker/trainer/round_listener.h"
#include "worker/trainer/run_checkpoints.h"
#include "worker/trainer/run_device.h"
#include "worker/trainer/run_engine.h"
#include "worker/trainer/run_view.h"
#include "worker/trainer/save_model.h"
#include "worker/trainer/skipped_steps.h"
#include "worker/trainer/taking_part.h"
#include "worker/trainer/training_data.h"
#include "worker/trainer/worker_settings.h"

namespace cddp {
namespace {

// Not by the wall clock, which may be set. A trace has its own times, for people.
double SecondsSince(absl::Duration begin) { return absl::ToDoubleSeconds(MonotonicNow() - begin); }

// Everything a run needs, made in the order in which errors are cheapest to find: data, model, then the cluster.
class Trainer {
 public:
  explicit Trainer(const TrainerOptions& options)
      : options_(options),
        rank_(options.cluster.rank),
        view_(rank_, options.json_progress),
        skipped_(options.stop_on_non_finite, options.max_skipped_steps) {}

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

  // The model's tensors, and the workers' agreed elements after its buffers.
  absl::StatusOr<ParameterLayout> Layout() const {
    std::vector<TensorSpec> tensors = model_->tensors();
    Pace::AddTensors(options_, &tensors);
    return ParameterLayout::Create(std::move(tensors), options_.bucket_elements);
  }

  // Then everything else that can fail, and the cluster.
  absl::Status Join() {
    if (absl::Status status = view_.Open(options_); !status.ok()) return status;
    absl::StatusOr<ParameterLayout> layout = Layout();
    if (!layout.ok()) return layout.status();
    absl::StatusOr<std::unique_ptr<Pace>> pace = Pace::Create(options_, sampler_->steps_per_epoch());
    if (!pace.ok()) return pace.status();
    pace_ = *std::move(pace);
    RunSettings settings = {options_, data_->checksum(), model_->file_crc32c(), pace_->steps_crc32c()};
    settings.options.train_examples = data_->train_examples();
    settings.options.bucket_elements = layout->bucket_elements();
    if (!options_.checkpoint_dir.empty()) {
      checkpoints_.emplace(settings, layout->fingerprint(), view_.metrics());
      absl::StatusOr<std::optional<WorkerCheckpoint>> found = checkpoints_->Find();
      if (!found.ok()) return found.status();
      restored_ = *std::move(found);
    }
    if (absl::Status status = CheckModelOutput(options_, layout->total_elements()); !status.ok()) return status;
    return Connect(*layout, DescribeForServers(settings));
  }

  absl::Status Train() {
    for (uint32_t epoch = 1; epoch <= options_.epochs; ++epoch) {
      if (absl::Status status = TrainEpoch(epoch); !status.ok()) return status;
    }
    if (checkpoints_.has_value()) checkpoints_->Last(parts(), {});
    // Before the model is saved: the cluster does not wait for a disk.
    cluster_->Leave(/*finished=*/true);
    if (gpu_engine_ != nullptr) view_.GpuUsed(gpu_engine_->counts());
    const absl::Status saved = SaveModel(options_, [this](const std::string& path) { return model_->Save(path); });
    const absl::StatusOr<std::vector<float>> weights = OnHost(model_->device(), model_->weights());
    if (!weights.ok()) return weights.status();
    view_.progress().Done(exchange_->step() - 1, Crc32c(weights->data(), weights->size() * sizeof(float)));
    return saved.ok() ? skipped_.Judge() : saved;
  }

 private:
  absl::Status Connect(const ParameterLayout& layout, const std::string& agreement) {
    // Before it joins, since the others wait for workers that have joined.
    absl::StatusOr<std::unique_ptr<BucketEngine>> engine = MakeParts(layout);
    if (!engine.ok()) return engine.status();
    GrpcClusterOptions options = options_.cluster;
    options.agreement = agreement;
    if (restored_.has_value()) {
      if (absl::Status status = TakeRunOf(options_, *restored_, &options.run); !status.ok()) return status;
    }
    absl::StatusOr<std::unique_ptr<GrpcCluster>> cluster = GrpcCluster::Join(options, layout);
    if (!cluster.ok()) return cluster.status();
    cluster_ = *std::move(cluster);
    spdlog::info("event=run name={}", cluster_->run());
    if (absl::Status status = CheckTakesPart(options_, *cluster_, restored_.has_value()); !status.ok()) {
      cluster_->Leave(/*finished=*/false);
      return status;
    }
    exchange_ = std::make_unique<GradientExchange>(layout, *std::move(engine), cluster_.get());
    exchange_->set_trace(view_.trace());
    view_.progress().Joined({options_.model, layout.parameter_elements(), layout.tensors().size(),
                             layout.bucket_count(), sampler_->steps_per_epoch()});
    absl::Status status;
    if (!restored_.has_value()) {  // otherwise the exchange continues where it was; see below
      status = TakeFirst();
    } else {
      status = WaitForWeights();
    }
    const bool repeats = restored_.has_value();
    bool holds_back = false;
    if (status.ok() && repeats) status = GoOn(&holds_back);
    rounds_.emplace(exchange_->step(), holds_back);
    if (status.ok()) status = BeginCheckpoints();
    if (status.ok()) status = BeginPace(repeats);
    listener_.emplace(model_.get(), optimizer_.get(), exchange_.get(), gpu_engine_, options_.check_engine);
    return status;
  }

  // Takes the training's present weights, if there is no checkpoint from which to continue.
  absl::Status TakeFirst() {
    const absl::Span<float> published = optimizer_ == nullptr ? model_->weights() : optimizer_->replica();
    absl::Status status = TakeFirstWeights(*cluster_, exchange_.get(), published, /*is_source=*/rank_ == 0);
    if (status.ok()) status = WaitForWeights();
    if (status.ok()) status = TakePublished();
    if (status.ok()) status = pace_->ReadPublished();
    if (!status.ok() || cluster_->version() == 0) return status;
    spdlog::info("event=caught_up step={}", exchange_->step());
    const uint64_t steps_before = pace_->StepsBefore(exchange_->step());
    model_->SetCounters(steps_before);
    if (optimizer_ != nullptr) optimizer_->SetStepsBefore(steps_before);
    return absl::OkStatus();
  }

  // From here on sent updates are noted, and earlier ones are sent again.
  absl::Status BeginCheckpoints() {
    if (!checkpoints_.has_value()) return absl::OkStatus();
    absl::StatusOr<std::shared_ptr<SentLog>> sent =
        SentLog::Open(options_.checkpoint_dir, rank_, cluster_->run(), exchange_->step());
    if (!sent.ok()) return sent.status();
    remade_->set_log(*sent);
    checkpoints_->Begin(cluster_->run(), arithmetic_, *std::move(sent));
    return absl::OkStatus();
  }

  // All reads of the weights from now on include all replies.
  absl::Status WaitForWeights() {
    return gpu_engine_ == nullptr ? absl::OkStatus() : gpu_engine_->WaitForWeights(kModelStream);
  }

  // Engine, optimizer and pace.
  absl::StatusOr<std::unique_ptr<BucketEngine>> MakeParts(const ParameterLayout& layout) {
    absl::StatusOr<RunEngine> run = MakeRunEngine(options_, layout, model_->device());
    if (!run.ok()) return run.status();
    gpu_engine_ = run->gpu;
    std::unique_ptr<BucketEngine> engine = std::move(run->engine);
    if (checkpoints_.has_value()) {
      auto remade = std::make_unique<RemadeBuckets>(layout, std::move(engine));
      remade_ = remade.get();
      engine = std::move(remade);
    }
    absl::Status status = pace_->ChooseRatio(*engine);
    if (!status.ok()) return status;
    absl::StatusOr<std::unique_ptr<LocalOptimizer>> optimizer =
        MakeRunOptimizer(options_, layout, model_->device(), model_->weights());
    if (!optimizer.ok()) return optimizer.status();
    optimizer_ = *std::move(optimizer);
    status = pace_->UseElementsOf(optimizer_.get(), model_->device(), model_->weights().size());
    if (!status.ok()) return status;
    return engine;
  }

  // Restarted from a checkpoint (`repeats`), the steps that servers have counted, and one that some may have, send what
  // they sent the first time.
  absl::Status BeginPace(bool repeats) {
    const uint64_t counted = repeats && cluster_->is_sync() ? cluster_->version() + 1 : 0;
    absl::Status status = pace_->Begin(exchange_->step(), counted);
    if (status.ok()) Tell({pace_->decides_steps(), pace_->decides_ratio()});
    return status;
  }

  // From the coming exchange on.
  void Tell(const Pace::Changes& changes) {
    if (changes.steps) view_.StepsChosen(exchange_->step(), pace_->steps());
    if (changes.ratio) view_.RatioChosen(exchange_->step(), pace_->LevelOf(exchange_->step()));
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
    if (absl::Status status = pace_->ReadPublished(); !status.ok()) return status;
    NoteOtherArithmetic(*restored_, arithmetic_);
    spdlog::info("event=restored step={} servers_version={}", step, cluster_->version());
    restored_.reset();
    return absl::OkStatus();
  }

  // Those that are made next.
  StepRange ComingSteps() const {
    return rounds_->is_under_way() ? pace_->StepsAfterPushed(rounds_->computing())
                                   : pace_->ComingSteps(rounds_->computing());
  }

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
    // Whether it had passed before this worker joined.
    if (pace_->ComingSteps(exchange_->step()).begin >= first + steps) return absl::OkStatus();
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
      view_.Tested(epoch * steps, *test);
    }
    view_.progress().Epoch(epoch, totals, totals.steps * model_->weights().size() * sizeof(float), test);
    return absl::OkStatus();
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
    if (absl::Status status = pace_->BeginRound(exchange_.get()); !status.ok()) return status;
    absl::StatusOr<std::vector<PassLoss>> losses = MakeSteps(begin, end, Along::kDifference);
    if (!losses.ok()) return losses.status();
    rounds_->NoteSteps();
    rounds_->NoteBegun();
    const double compute_seconds = SecondsSince(start);
    absl::Status status = FinishExchange(compute_seconds, totals);
    if (status.ok()) status = TakePublished();
    // The last gradient has arrived, so losses have.
    if (status.ok()) status = NoteSteps(*losses, compute_seconds, totals);
    if (!status.ok()) return status;
    view_.LossKnown((epoch - 1) * sampler_->steps_per_epoch() + end, skipped_.last_loss());
    totals->step_seconds += SecondsSince(start);
    view_.progress().Step(epoch, skipped_.last_loss(), *totals);
    return absl::OkStatus();
  }

  // Likewise, but the first of the steps are made while the last round's exchange is under way, and this one's begins
  // when all are made.
  absl::Status TrainOverlapped(uint64_t begin, uint64_t end, uint32_t epoch, EpochTotals* totals) {
    const absl::Duration start = MonotonicNow();
    const uint64_t ahead = rounds_->is_under_way() ? std::min(begin + options_.overlap, end) : begin;
    std::vector<PassLoss> losses;
    absl::Status status = MakeStepsAlone(begin, ahead, ahead < end ? Along::kAnswer : Along::kAhead, &losses);
    const double ahead_seconds = SecondsSince(start);
    double wait_seconds = 0;
    if (status.ok() && rounds_->is_under_way()) {
      status = FinishExchange(last_compute_seconds_ + ahead_seconds, totals);
      wait_seconds = SecondsSince(start) - ahead_seconds;
      if (status.ok() && ahead < end) status = optimizer_->TakeAnswer(model_->weights());
    }
    if (status.ok()) status = MakeStepsAlone(ahead, end, Along::kAhead, &losses);
    if (status.ok()) status = optimizer_->NoteMoved(model_->weights());
    if (!status.ok()) return status;
    const double compute_seconds = SecondsSince(start) - wait_seconds;
    last_compute_seconds_ = compute_seconds - ahead_seconds;
    rounds_->NoteSteps();
    status = NoteSteps(losses, compute_seconds, totals);
    if (!status.ok()) return status;
    view_.LossKnown((epoch - 1) * sampler_->steps_per_epoch() + end, skipped_.last_loss());
    totals->step_seconds += SecondsSince(start);
    view_.progress().Step(epoch, skipped_.last_loss(), *totals);
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
  absl::Status MakeStepsAlone(uint64_t begin, uint64_t end, Along along, std::vector<PassLoss>* losses) {
    absl::StatusOr<std::vector<PassLoss>> made = MakeSteps(begin, end, along);
    if (!made.ok()) return made.status();
    std::move(made->begin(), made->end(), std::back_inserter(*losses));
    return model_->device().is_gpu ? SynchroniseStream(model_->device().gpu, kModelStream) : absl::OkStatus();
  }

  // `along`: the last of them.
  absl::StatusOr<std::vector<PassLoss>> MakeSteps(uint64_t begin, uint64_t end, Along along) {
    std::vector<PassLoss> losses;
    for (uint64_t step = begin; step < end; ++step) {
      listener_->set_along(step + 1 == end ? along : Along::kNothing);
      const absl::Time step_begin = SteadyNow();
      absl::StatusOr<PassLoss> loss = model_->ForwardBackward(sampler_->Batch(step), &*listener_);
      if (!loss.ok()) return loss.status();
      losses.push_back(*std::move(loss));
      view_.PassesMade(rounds_->computing(), step_begin, listener_->loss_time());
    }
    return losses;
  }

  // The exchange of steps that were held back; the worker goes on ahead of it.
  absl::Status BeginHeldBack() {
    absl::Status status = pace_->BeginRound(exchange_.get());
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
    view_.Waited(step, trace_begin);
    rounds_->NoteFinished(exchange_->step());
    if (absl::Status status = WaitForWeights(); !status.ok()) return status;
    if (absl::Status status = pace_->ReadPublished(); !status.ok()) return status;
    refused_ = traffic->refused;
    totals->compress_seconds += traffic->compress_seconds;
    totals->exchange_seconds += traffic->exchange_seconds;
    totals->pushed_bytes += traffic->pushed_bytes;
    totals->pulled_bytes += traffic->pulled_bytes;
    view_.Exchanged(step, exchange_->step(), *traffic, pace_->LastSteps(step).end, model_->weights().size());
    view_.metrics()->NoteRetries(cluster_->retries());
    const absl::StatusOr<Pace::Changes> changes =
        pace_->NoteRound(step, exchange_->step(), compute_seconds, wait_seconds);
    if (changes.ok()) Tell(*changes);
    return changes.status();
  }

  // The model continues from the published weights.
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
    const uint64_t step = exchange_->step() - 1;
    // Where the servers' optimizer steps, alike at all workers, for they are told of the same refusals; else only here.
    if (skipped > 0) {
      spdlog::warn("event=step_refused step={} steps={} reason=\"a gradient was not finite\"", step, skipped);
    }
    absl::Status status = skipped_.NoteRound(step, steps, skipped, loss_sum / static_cast<double>(steps));
    if (!status.ok()) return status;
    totals->steps += steps;
    totals->refused_steps += skipped;
    totals->loss += loss_sum;
    totals->compute_seconds += compute_seconds;
    cluster_->NoteProgress(step, skipped_.last_loss());
    view_.metrics()->NoteSteps(steps, refused_ ? steps : 0, skipped_.last_loss(), compute_seconds,
                               model_->weights().size());
    if (remade_ != nullptr) view_.StepsRemade(remade_->counts());
    return absl::OkStatus();
  }

  const TrainerOptions& options_;
  const uint32_t rank_;
  RunView view_;
  std::unique_ptr<TrainingData> data_;
  std::optional<EpochSampler> sampler_;
  std::unique_ptr<TrainingModel> model_;
  std::optional<RunCheckpoints> checkpoints_;  // only with --checkpoint_dir
  std::optional<WorkerCheckpoint> restored_;   // until it has been restored
  EpochTotals restored_totals_;
  SkippedSteps skipped_;
  bool refused_ = false;             // the last exchange, for a gradient that was not finite
  double last_compute_seconds_ = 0;  // overlapped: of the last round's steps, but for those beside an exchange
  std::unique_ptr<GrpcCluster> cluster_;
  std::unique_ptr<LocalOptimizer> optimizer_;   // null: the servers' makes the steps
  std::unique_ptr<GradientExchange> exchange_;  // after cluster_ and optimizer_: its thread uses them
  CudaBuckets* gpu_engine_ = nullptr;           // the exchange's, if the model is on a GPU
  RemadeBuckets* remade_ = nullptr;             // the exchange's, with --checkpoint_dir
  std::string arithmetic_;
  std::optional<RoundOrder> rounds_;  // from Connect on
  std::optional<RoundListener> listener_;
  std::unique_ptr<Pace> pace_;  // from Join on
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
