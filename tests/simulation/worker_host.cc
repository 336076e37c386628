#include "tests/simulation/worker_host.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/simulation/world.h"
#include "worker/buckets/host_buckets.h"
#include "worker/client/begin_training.h"

namespace cddp::simulation {
namespace {

// Divisible by the numbers of workers that may share a round, so that means are whole numbers.
constexpr int kUnit = 12;

uint64_t Hash(uint64_t a, uint64_t b, uint64_t c) { return Random(a * 1000003 + b * 7919 + c).Next(); }

}  // namespace

WorkerHost::WorkerHost(World* world, uint32_t rank, uint64_t seed)
    : world_(*world), rank_(rank), seed_(seed), random_(seed ^ 0x5eed) {}

void WorkerHost::Start() {
  if (running() || finished_) return;
  ++starts_;
  ++ending_;
  if (run_ != nullptr) past_.push_back(std::move(run_));
  run_ = std::make_shared<Run>(absl::StrCat("worker ", rank_));
  Kernel::Get().Spawn(&run_->process, [this, run = run_] { Main(run); });
  // Calls under way end with the process.
  Kernel::Get().Spawn(&run_->process, [run = run_] {
    while (!run->process.dead) Kernel::Get().Wait(&run->process.killed);
    if (run->cluster != nullptr) run->cluster->CancelExchanges(absl::CancelledError("the process ends"));
  });
}

void WorkerHost::Kill() {
  if (running()) Kernel::Get().Kill(&run_->process);
}

void WorkerHost::Main(const std::shared_ptr<Run>& run) {
  const absl::Duration now = absl::Hours(10) + Kernel::Get().Now() + clock_error_;
  const auto incarnation = static_cast<uint64_t>(absl::ToInt64Microseconds(now));
  run->cluster = std::make_unique<SimCluster>(&world_, &run->process, rank_, incarnation);
  // Only synchronous training makes its last steps once more with the same gradients; elsewhere a step is another one.
  run->gradient_seed = run->cluster->is_sync() ? seed_ : seed_ ^ incarnation;
  const absl::Status status = Train(*run);
  if (!run->process.dead) {
    if (status.ok()) {
      last_versions_ = run->exchange->State().versions;
      run->cluster->Leave(/*finished=*/true);
      if (!run->process.dead) finished_ = true;
    } else {
      world_.NoteWorkerError(rank_, status);
      failure_ = status;
    }
  }
  Kernel::Get().Kill(&run->process);
  run->exchange = nullptr;
  run->cluster = nullptr;
  --ending_;
}

absl::Status WorkerHost::Begin(Run& run) {
  if (absl::Status status = run.cluster->Join(); !status.ok()) return status;
  const ParameterLayout& layout = world_.layout();
  absl::StatusOr<std::unique_ptr<GradientExchange>> exchange =
      MakeHostExchange(layout, world_.config().compressor, run.cluster.get());
  if (!exchange.ok()) return exchange.status();
  run.exchange = *std::move(exchange);
  run.weights.resize(layout.total_elements());
  run.fed.resize(layout.total_elements());
  if (checkpoint_.has_value()) {
    run.weights = checkpoint_->weights;
    run.fed = checkpoint_->fed;
    run.cluster->set_accepted(checkpoint_->accepted);
    return run.exchange->SetState(checkpoint_->state);
  }
  for (size_t i = 0; i < run.weights.size(); ++i) {
    run.weights[i] = static_cast<float>(kUnit * static_cast<int>(Hash(seed_, 0, i) % 21) - 10 * kUnit);
  }
  return TakeFirstWeights(*run.cluster, run.exchange.get(), absl::MakeSpan(run.weights), rank_ == 0);
}

absl::Status WorkerHost::Train(Run& run) {
  if (absl::Status status = Begin(run); !status.ok()) return status;
  while (!run.process.dead && run.exchange->step() < world_.target_step()) {
    if (absl::Status status = MakeStep(run); !status.ok()) return status;
  }
  return run.process.dead ? absl::CancelledError("killed") : absl::OkStatus();
}

bool WorkerHost::LossIsFinite(uint64_t step) const {
  return static_cast<double>(Hash(seed_, step, 77) % 10000) >= 10000 * world_.config().non_finite;
}

std::vector<float> WorkerHost::Gradients(const Run& run, uint64_t step) const {
  std::vector<float> gradients(world_.layout().total_elements());
  for (size_t i = 0; i < gradients.size(); ++i) {
    gradients[i] = static_cast<float>(kUnit * (static_cast<int>(Hash(run.gradient_seed, step, i) % 20001) - 10000));
  }
  return gradients;
}

absl::Status WorkerHost::MakeStep(Run& run) {
  Kernel& kernel = Kernel::Get();
  const uint64_t step = run.exchange->step();
  step_ = step;
  const std::vector<float> gradients = Gradients(run, step);
  const bool finite = LossIsFinite(step);
  const absl::Duration compute = world_.config().compute;
  kernel.SleepAlive(random_.Between(compute / 2, compute * 3 / 2));
  run.exchange->Begin(gradients, absl::MakeSpan(run.weights), /*refuse=*/!finite);
  if (random_.Chance(0.5)) {  // the later layers' first
    run.exchange->Ready(random_.Below(gradients.size()));
    kernel.SleepAlive(random_.Between(absl::ZeroDuration(), compute));
  }
  const absl::StatusOr<StepTraffic> traffic = run.exchange->Finish();
  if (!traffic.ok()) return traffic.status();
  if (run.process.dead) return absl::CancelledError("killed");
  ++steps_made_;
  if (finite) {
    for (size_t i = 0; i < gradients.size(); ++i) run.fed[i] += gradients[i];
  }
  run.cluster->NoteProgress(step, 0);
  CheckStep(run);
  if (world_.config().checkpoint_steps > 0 && step % world_.config().checkpoint_steps == 0) {
    checkpoint_ = Checkpoint{run.exchange->State(), run.weights, run.fed, run.cluster->accepted()};
  }
  return absl::OkStatus();
}

void WorkerHost::CheckReplica(uint32_t bucket, uint64_t version, const std::vector<float>& published) {
  if (!finished_ || last_versions_[bucket] != version) return;
  const ElementRange range = world_.layout().bucket_range(bucket);
  if (!std::equal(published.begin(), published.end(), run_->weights.begin() + static_cast<int64_t>(range.begin))) {
    world_.Violated(
        absl::StrCat("worker ", rank_, "'s replica of bucket ", bucket, " is not the published version ", version));
  }
}

void WorkerHost::CheckStep(Run& run) {
  const ParameterLayout& layout = world_.layout();
  const ExchangeState state = run.exchange->State();
  for (uint32_t bucket = 0; bucket < layout.bucket_count(); ++bucket) {
    const ElementRange range = layout.bucket_range(bucket);
    world_.history().NoteWeights(absl::StrCat("worker ", rank_, "'s replica"), bucket, state.versions[bucket],
                                 absl::MakeConstSpan(run.weights).subspan(range.begin, range.size()));
  }
  if (run.cluster->is_sync() &&
      std::adjacent_find(state.versions.begin(), state.versions.end(), std::not_equal_to<>()) != state.versions.end()) {
    world_.Violated(absl::StrCat("worker ", rank_, "'s buckets are not at one version after step ", step_));
  }
  // What was fed in has been sent, or waits.
  const std::vector<double>& accepted = run.cluster->accepted();
  for (size_t i = 0; i < state.engine.residual.size(); ++i) {
    if (run.fed[i] != accepted[i] + state.engine.residual[i]) {
      world_.Violated(absl::StrCat("worker ", rank_, " after step ", step_, ", element ", i, ": ", run.fed[i],
                                   " was fed in, but ", accepted[i], " was accepted and ", state.engine.residual[i],
                                   " waits"));
      return;
    }
  }
}

}  // namespace cddp::simulation
