#include "tests/simulation/server_host.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/shard_recovery.h"
#include "server/update_run.h"
#include "tests/simulation/world.h"

namespace cddp::simulation {
namespace {

// As server/server.cc has them.
constexpr absl::Duration kWatchPeriod = absl::Milliseconds(500);
constexpr absl::Duration kKeepPeriod = absl::Milliseconds(100);
constexpr absl::Duration kDrainTimeout = absl::Seconds(5);

PushReply ToReply(const ExchangeAnswer& answer) {
  PushReply reply;
  reply.version = answer.version;
  reply.refused = answer.refused;
  reply.replaces = answer.replaces;
  reply.updates = UpdatesOfAll(answer.updates);
  return reply;
}

}  // namespace

ServerHost::ServerHost(World* world, uint32_t shard, const ShardOptions& options, uint64_t seed)
    : world_(*world), shard_(shard), options_(options), disk_(seed) {}

absl::Status ServerHost::failure() const { return run_ == nullptr ? absl::OkStatus() : run_->failure; }

void ServerHost::Start() {
  if (running()) return;
  ++starts_;
  ++ending_;
  run_ = std::make_shared<Run>(absl::StrCat("server ", shard_), options_);
  Kernel::Get().Spawn(&run_->process, [this, run = run_] { Main(run); });
}

void ServerHost::Kill(bool lose_power) {
  if (running()) {
    if (run_->serving && !lose_power) world_.network().ServerDied(*this);
    Kernel::Get().Kill(&run_->process);
  }
  if (lose_power) disk_.LosePower();
}

void ServerHost::StopGently() {
  if (!serving()) return;
  run_->stopping = true;
  Kernel::Get().WakeAll(&run_->changed);
}

void ServerHost::Freeze(absl::Duration until) {
  if (running()) Kernel::Get().Freeze(&run_->process, until);
}

void ServerHost::Main(const std::shared_ptr<Run>& run) {
  run->files = disk_.Mount(&run->process);
  ShardOptions options = options_;
  options.files = run->files.get();
  run->shard = std::make_unique<Shard>(options, &run->metrics);
  absl::Status status = run->shard->Recover();
  if (run->process.dead) status = absl::UnavailableError("dead");
  if (status.ok()) {
    CheckRecovered(*run);
    Serve(run);
  } else if (!run->process.dead) {
    world_.Tell(absl::StrCat("server ", shard_, " does not start: ", std::string(status.message())));
    run->failure = status;
  }
  run->shard->Close(absl::UnavailableError("the server is ending"));
  Kernel::Get().Kill(&run->process);
  while (run->calls > 0) Kernel::Get().Wait(&run->changed);
  run->shard = nullptr;
  --ending_;
}

void ServerHost::Serve(const std::shared_ptr<Run>& run) {
  Kernel& kernel = Kernel::Get();
  Shard& shard = *run->shard;
  bool ended = false;
  Thread watcher([&] {
    while (!ended && kernel.SleepAlive(kWatchPeriod)) {
      if (!shard.RetireLost().empty()) world_.Tell(absl::StrCat("server ", shard_, " retires a worker"));
      // An operator sees it in the log. A full disk has room again some day.
      const absl::Status synced = shard.Sync();
      if (!synced.ok() && !absl::IsResourceExhausted(synced) && !run->process.dead) run->failure = synced;
    }
  });
  Thread keeper([&] {
    while (!ended && kernel.SleepAlive(kKeepPeriod)) shard.WriteDueFiles();
  });
  run->serving = true;
  while (!run->process.dead && !run->stopping) {
    // Killed or stopped: whichever comes first.
    kernel.Wait(&run->changed, kernel.Now() + kKeepPeriod);
  }
  if (!run->process.dead) {
    shard.Drain(absl::UnavailableError("the server is ending: try again at its successor"));
    const absl::Duration end = kernel.Now() + kDrainTimeout;
    while (run->calls > 0 && kernel.Now() < end && !run->process.dead) kernel.Wait(&run->changed, end);
    shard.WriteSnapshot().IgnoreError();
    world_.network().ServerDied(*this);
  }
  ended = true;
  run->serving = false;
  watcher.join();
  keeper.join();
}

void ServerHost::CheckRecovered(Run& run) {
  const std::optional<BucketRun> buckets = run.shard->buckets();
  if (!buckets.has_value()) {
    const BucketRun all = ShardMap::Create(world_.layout().bucket_count(), options_.shard_count)->run(shard_);
    for (uint32_t bucket = all.begin; bucket < all.end; ++bucket) world_.history().NoteRecovered(bucket, 0, {});
    return;
  }
  world_.history().NoteRecoveredView(shard_, run.shard->view());
  for (uint32_t bucket = buckets->begin; bucket < buckets->end; ++bucket) {
    const absl::StatusOr<PublishedWeights> weights = run.shard->Read(bucket);
    if (weights.ok()) {
      world_.history().NoteRecovered(bucket, weights->version, weights->weights);
    } else if (absl::IsFailedPrecondition(weights.status())) {
      world_.history().NoteRecovered(bucket, 0, {});
    }
  }
}

void ServerHost::Take(std::function<void(ServerHost&)> serve) {
  Kernel::Get().Spawn(&run_->process, [this, run = run_, serve = std::move(serve)] {
    if (run != run_ || !run->serving) return;
    ++run->calls;
    serve(*this);
    --run->calls;
    Kernel::Get().WakeAll(&run->changed);
  });
}

absl::StatusOr<ServerHost::JoinAnswer> ServerHost::Join(uint32_t rank, uint64_t incarnation) {
  Shard& shard = *run_->shard;
  absl::StatusOr<Shard::JoinResult> joined =
      shard.Join(rank, incarnation, options_.worker_count, world_.layout(), {}, {"simulated", RunClaim::kNamed});
  if (!joined.ok()) return joined.status();
  if (!run_->process.dead) {
    for (uint32_t bucket = joined->buckets.begin; bucket < joined->buckets.end; ++bucket) {
      world_.history().NoteTold(bucket, joined->version);
    }
  }
  return JoinAnswer{shard.view(), joined->version};
}

absl::Status ServerHost::JoinAs(uint32_t rank, uint64_t incarnation, uint32_t worker_count,
                                const ParameterLayout& layout) {
  return run_->shard->Join(rank, incarnation, worker_count, layout, {}, {"simulated", RunClaim::kNamed}).status();
}

uint64_t ServerHost::HolderOf(uint32_t rank) {
  for (const Member& member : run_->shard->membership().members()) {
    if (member.rank == rank) return member.incarnation;
  }
  return 0;
}

absl::StatusOr<uint64_t> ServerHost::Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step) {
  Shard& shard = *run_->shard;
  if (absl::Status status = shard.membership().Heartbeat(rank, incarnation, step, 0); !status.ok()) return status;
  return shard.view();
}

absl::Status ServerHost::Leave(uint32_t rank, uint64_t incarnation, bool finished) {
  return run_->shard->Leave(rank, incarnation, finished);
}

absl::StatusOr<PublishedWeights> ServerHost::ReadToJoin(uint32_t rank, uint64_t incarnation, uint32_t bucket,
                                                        uint64_t held) {
  const absl::Status lets = LetCatchUp(rank, incarnation);
  return lets.ok() ? Read(bucket, held) : lets;
}

absl::StatusOr<PublishedWeights> ServerHost::Read(uint32_t bucket, uint64_t held) {
  absl::StatusOr<PublishedWeights> weights = run_->shard->Read(bucket, held);
  if (weights.ok() && !weights->changes.has_value() && !run_->process.dead) {
    world_.history().NoteWeights(absl::StrCat("server ", shard_, "'s snapshot"), bucket, weights->version,
                                 weights->weights);
    world_.history().NoteTold(bucket, weights->version);
  }
  return weights;
}

// One Exchange, as server/exchange_call.h has it.
struct ServerHost::Call {
  PushRequest request;
  std::vector<PushReply> replies;
  size_t unanswered = 0;
  absl::Status error;
  Exchanged done;
};

void ServerHost::Exchange(const PushRequest& request, Exchanged done) {
  const std::shared_ptr<Run> run = run_;
  auto call = std::make_shared<Call>();
  call->request = request;
  call->replies.resize(request.pushes.size());
  call->unanswered = request.pushes.size();
  call->done = std::move(done);
  ++run->calls;
  world_.NoteRequest(shard_, request.rank);
  const uint64_t holder = HolderOf(request.rank);
  for (size_t i = 0; i < request.pushes.size(); ++i) {
    const Push& push = call->request.pushes[i];
    run->shard->Exchange(
        request.incarnation, request.view, push.bucket,
        {request.rank, push.step, push.base_version, push.update, push.non_finite, push.replica_crc32c, push.weight},
        [this, call, run, i, holder](absl::StatusOr<ExchangeAnswer> answer) {
          if (answer.ok()) {
            const Push& answered = call->request.pushes[i];
            call->replies[i] = ToReply(*answer);
            if (!run->process.dead) {
              if (holder > call->request.incarnation) {
                world_.Violated(absl::StrCat("rank ", call->request.rank, "'s process ", call->request.incarnation,
                                             " is answered, though process ", holder, " has taken its place"));
              }
              if (answer->replica_differed && options_.durability == Durability::kVersion) {
                world_.Violated(absl::StrCat("rank ", call->request.rank, "'s replica of bucket ", answered.bucket,
                                             " differs from version ", answered.base_version));
              }
              world_.history().NoteAnswer(call->request.rank, call->request.incarnation, answered, call->replies[i]);
            }
          } else {
            call->error.Update(answer.status());
            if (absl::IsFailedPrecondition(answer.status()) && call->done != nullptr) {
              std::exchange(call->done, nullptr)(answer.status());
            }
          }
          if (--call->unanswered > 0) return;
          --run->calls;
          Kernel::Get().WakeAll(&run->changed);
          if (call->done == nullptr) return;
          if (call->error.ok()) {
            call->done(std::move(call->replies));
          } else {
            call->done(call->error);
          }
        });
  }
}

}  // namespace cddp::simulation
