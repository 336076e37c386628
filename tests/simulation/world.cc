#include "tests/simulation/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cddp::simulation {
namespace {

// More than a seed has ever needed by far: something turns in circles.
constexpr uint64_t kMostSwitches = 20'000'000;
// Once nothing goes wrong any more: a worker's patience, the longest pause of a retry, a lease, and some.
constexpr absl::Duration kMostRecovery = absl::Minutes(5);
constexpr uint64_t kStepsAtTheEnd = 5;
constexpr absl::Duration kLook = absl::Milliseconds(200);

ParameterLayout MakeLayout(const Config& config) {
  std::vector<TensorSpec> tensors;
  tensors.push_back({"weight", {config.buckets * config.bucket_elements - 3}});
  tensors.push_back({"bias", {3}});
  return *ParameterLayout::Create(std::move(tensors), config.bucket_elements);
}

ShardOptions MakeShardOptions(const Config& config, uint32_t shard) {
  ShardOptions options;
  options.shard = shard;
  options.shard_count = config.servers;
  options.worker_count = config.workers;
  options.lease = config.lease;
  options.consistency = config.consistency;
  options.optimizer.lr.base = 1;
  options.optimizer.momentum = 0;
  options.publish.ratio = 0;
  options.publish.value_encoding = ValueEncoding::kFp32;
  options.log_versions = config.log_versions;
  options.state_dir = "state";
  options.durability = config.durability;
  options.snapshot_bytes = config.snapshot_bytes;
  options.checkpoint_every = config.checkpoint_every;
  return options;
}

NetworkOptions Lossy(NetworkOptions options) {
  options.lost = 0.2;
  options.late = 0.05;
  options.repeated = 0.05;
  return options;
}

}  // namespace

World::World(uint64_t seed, const std::set<size_t>& left_out, Tells tells)
    : left_out_(left_out),
      tells_(tells),
      config_(MakeConfig(seed)),
      faults_(MakeFaults(seed, config_)),
      kernel_(seed * 4 + 1),
      random_(seed * 4 + 2),
      layout_(MakeLayout(config_)),
      network_(config_.network, seed * 4 + 3),
      server_due_(config_.servers),
      worker_due_(config_.workers) {
  kernel_.set_preemption(config_.preemption);
  history_ = std::make_unique<History>(layout_, config_.workers, config_.servers, config_.consistency,
                                       config_.durability == Durability::kVersion,
                                       [this](const std::string& what) { Violated(what); });
  if (tells_ == Tells::kEverything) history_->set_tell([this](const std::string& what) { Tell(what); });
  for (uint32_t shard = 0; shard < config_.servers; ++shard) {
    servers_.push_back(std::make_unique<ServerHost>(this, shard, MakeShardOptions(config_, shard), seed * 64 + shard));
    servers_.back()->disk().set_sync_time(config_.sync_time);
    servers_.back()->disk().set_orders_names(config_.orders_names);
  }
  for (uint32_t rank = 0; rank < config_.workers; ++rank) {
    workers_.push_back(std::make_unique<WorkerHost>(this, rank, seed * 64 + 32 + rank));
  }
}

World::~World() {
  if (over_) return;
  // It was stopped in the middle: what fibers hold cannot be freed.
  kernel_.Abandon();
  for (auto& server : servers_) static_cast<void>(server.release());
  for (auto& worker : workers_) static_cast<void>(worker.release());
}

std::string World::Run() {
  kernel_.Spawn(nullptr, [this] { Operate(); });
  kernel_.Spawn(nullptr, [this] { Supervise(); });
  if (config_.reads_every != absl::InfiniteDuration()) kernel_.Spawn(nullptr, [this] { ReadNowAndThen(); });
  if (!kernel_.Run(kMostSwitches)) Violated("something turns in circles");
  if (violation_.empty() && !over_) Violated("nothing goes on any more");
  return violation_;
}

uint64_t World::steps() const {
  uint64_t steps = 0;
  for (const auto& worker : workers_) steps += worker->steps_made();
  return steps;
}

void World::Tell(const std::string& what) {
  if (tells_ != Tells::kNothing) std::printf("%10.4f s  %s\n", absl::ToDoubleSeconds(kernel_.Now()), what.c_str());
}

void World::Violated(const std::string& what) {
  Tell(absl::StrCat("VIOLATED: ", what));
  if (violation_.empty()) violation_ = absl::StrFormat("at %.4f s: %s", absl::ToDoubleSeconds(kernel_.Now()), what);
  kernel_.Stop();
}

void World::NoteWorkerError(uint32_t rank, const absl::Status& status) {
  Tell(absl::StrCat("worker ", rank, " gives up: ", status.ToString()));
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:  // a failed sync
      return;
    case absl::StatusCode::kFailedPrecondition:
      // Of two processes with one rank.
      if (absl::StrContains(status.message(), "process holds rank")) return;
      if (config_.durability == Durability::kVersion || began_anew_) break;
      // Where nothing was promised, a server may come back without a worker that has joined, which joins again, or
      // without the first weights: then it says what to do.
      if (absl::StrContains(status.message(), "has not joined this server")) return;
      if (!absl::StrContains(status.message(), "has lost its state")) break;
      must_begin_anew_ = healed_;
      return;
    default:
      break;
  }
  Violated(absl::StrCat("worker ", rank, " gives up for good: ", status.ToString()));
}

void World::Operate() {
  for (uint32_t shard = 0; shard < config_.servers; ++shard) servers_[shard]->Start();
  for (const auto& worker : workers_) {
    kernel_.Sleep(random_.Between(absl::ZeroDuration(), absl::Milliseconds(300)));
    worker->Start();
  }
  for (size_t i = 0; i < faults_.size(); ++i) {
    if (left_out_.count(i) > 0) continue;
    if (faults_[i].at > kernel_.Now()) kernel_.Sleep(faults_[i].at - kernel_.Now());
    Tell(Describe(faults_[i]));
    Apply(faults_[i]);
    kernel_.At(kernel_.Now() + faults_[i].lasts, nullptr, [this, i] { Mend(faults_[i]); });
    if (faults_[i].kind == Fault::kComeBackAndDie || faults_[i].kind == Fault::kComeBackTwice)
      kernel_.Sleep(faults_[i].lasts + absl::Seconds(1));
  }
  kernel_.Sleep(absl::Seconds(1));
  Heal();
  if (AwaitWorkers()) CheckEnd();
  EndAll();
  kernel_.Stop();
}

void World::Supervise() {
  while (!ending_) {
    kernel_.Sleep(kLook);
    const absl::Duration now = kernel_.Now();
    for (uint32_t shard = 0; shard < config_.servers && !ending_; ++shard) {
      ServerHost& server = *servers_[shard];
      if (server.running() && !server.failure().ok()) {
        Tell(absl::StrCat("server ", shard, " is ended: ", std::string(server.failure().message())));
        server.Kill(/*lose_power=*/false);
        // An operator restores the file from a copy.
        if (server.disk().FlipBack()) Tell(absl::StrCat("server ", shard, "'s disk is as it was"));
        server_due_[shard] = now + random_.Between(absl::Milliseconds(10), absl::Seconds(2));
      }
      if (!server.running() && now >= server_due_[shard]) {
        server_due_[shard] = now + random_.Between(absl::Milliseconds(10), absl::Seconds(2));
        server.Start();
      }
    }
    for (uint32_t rank = 0; rank < config_.workers && !ending_; ++rank) {
      WorkerHost& worker = *workers_[rank];
      if (worker.running() || worker.finished() || away_.count(rank) > 0 || now < worker_due_[rank]) continue;
      worker_due_[rank] = now + random_.Between(absl::Milliseconds(10), absl::Seconds(2));
      worker.Start();
    }
  }
}

void World::Apply(const Fault& fault) {
  ServerHost& server = *servers_[fault.server];
  WorkerHost& worker = *workers_[fault.worker];
  const absl::Duration back = kernel_.Now() + fault.lasts;
  switch (fault.kind) {
    case Fault::kKillServer:
    case Fault::kLosePower:
      server_due_[fault.server] = back;
      server.Kill(fault.kind == Fault::kLosePower);
      break;
    case Fault::kLosePowerOfAll:
      for (uint32_t shard = 0; shard < config_.servers; ++shard) {
        server_due_[shard] = back;
        servers_[shard]->Kill(/*lose_power=*/true);
      }
      break;
    case Fault::kRestartServer:
      server_due_[fault.server] = back;
      server.StopGently();
      break;
    case Fault::kKillWorker:
    case Fault::kReplaceWorker:
    case Fault::kComeBackTwice:
      worker_due_[fault.worker] = back;
      worker.Kill();
      if (fault.kind == Fault::kReplaceWorker) worker.ForgetCheckpoint();
      break;
    case Fault::kAbandonWorker:
      Abandon(fault.worker);
      break;
    case Fault::kCut:
      Cut(fault);
      break;
    case Fault::kStallDisk:
    case Fault::kFillDisk:
    case Fault::kFailSync:
    case Fault::kFailSyncOfStart:
    case Fault::kLosePowerAtCall:
    case Fault::kFillDiskAtCall:
    case Fault::kFlipBit:
      ApplyToDisk(fault);
      break;
    case Fault::kFreezeServer:
      server.Freeze(back);
      break;
    case Fault::kFreezeWorker:
      worker.Freeze(back);
      break;
    case Fault::kStranger:
      Stranger(fault);
      break;
    case Fault::kComeBackAndDie:
      for (uint32_t shard = 0; shard < config_.servers; ++shard) {
        network_.Cut(fault.worker, shard, /*to_server=*/true, /*to_worker=*/true);
      }
      break;
    case Fault::kTurnClockBack:
      worker.set_clock_error(-absl::Hours(1));
      worker_due_[fault.worker] = back;
      worker.Kill();
      break;
    case Fault::kLoseCalls:
      network_.set_options(Lossy(config_.network));
      break;
    case Fault::kKinds:
      break;
  }
}

void World::ApplyToDisk(const Fault& fault) {
  ServerHost& server = *servers_[fault.server];
  Disk& disk = server.disk();
  switch (fault.kind) {
    case Fault::kStallDisk:
      disk.StandStillUntil(kernel_.Now() + fault.lasts);
      break;
    case Fault::kFillDisk:
      disk.set_full(true);
      break;
    case Fault::kFailSync:
      disk.FailNextSync(server.serving());
      break;
    case Fault::kFailSyncOfStart:
    case Fault::kFlipBit:
      server_due_[fault.server] = kernel_.Now() + fault.lasts;
      server.Kill(/*lose_power=*/false);
      if (fault.kind == Fault::kFailSyncOfStart) {
        disk.FailNextSync(true);
      } else {
        disk.FlipBit();
      }
      break;
    case Fault::kLosePowerAtCall:
      disk.AtNext(fault.operation, [this, fault] {
        kernel_.At(kernel_.Now() + fault.after, nullptr, [this, fault] {
          if (healed_) return;
          Tell(absl::StrCat("server ", fault.server, " loses its power now"));
          server_due_[fault.server] = kernel_.Now() + fault.lasts;
          servers_[fault.server]->Kill(/*lose_power=*/true);
        });
      });
      break;
    case Fault::kFillDiskAtCall:
      disk.AtNext(fault.operation, [this, fault] {
        if (healed_) return;
        Tell(absl::StrCat("server ", fault.server, "'s disk is full now"));
        servers_[fault.server]->disk().set_full(true);
        kernel_.At(kernel_.Now() + fault.lasts, nullptr, [this, fault] { Mend(fault); });
      });
      break;
    default:
      break;
  }
}

void World::Abandon(uint32_t rank) {
  // Nobody can begin without all workers, and one must go on.
  if (!HasBegun() || away_.size() + 1 >= config_.workers) return;
  away_.insert(rank);
  workers_[rank]->Kill();
}

void World::NoteRequest(uint32_t shard, uint32_t rank) {
  if (!ambush_.has_value() || ambush_->rank != rank || healed_) return;
  if (ambush_->calls-- > 0) return;
  const Ambush ambush = *std::exchange(ambush_, std::nullopt);
  kernel_.At(kernel_.Now() + random_.Between(absl::ZeroDuration(), absl::Milliseconds(200)), nullptr,
             [this, shard, ambush] {
               if (!healed_) Strike(ambush, shard);
             });
}

void World::Strike(const Ambush& ambush, uint32_t shard) {
  Tell(absl::StrCat("worker ", ambush.rank, " dies, and server ", shard, " ends"));
  if (ambush.kind == Fault::kComeBackAndDie) {
    Abandon(ambush.rank);
    servers_[shard]->Kill(/*lose_power=*/false);
  } else {
    workers_[ambush.rank]->Kill();
    servers_[shard]->StopGently();
  }
}

void World::ReadNowAndThen() {
  while (!ending_) {
    kernel_.Sleep(random_.Between(absl::ZeroDuration(), 2 * config_.reads_every));
    const uint32_t bucket = static_cast<uint32_t>(random_.Below(layout_.bucket_count()));
    const uint32_t shard = ShardMap::Create(layout_.bucket_count(), config_.servers)->shard_of(bucket);
    if (ending_ || !servers_[shard]->serving()) continue;
    servers_[shard]->Take([bucket](ServerHost& server) { server.Read(bucket).status().IgnoreError(); });
  }
}

void World::Stranger(const Fault& fault) {
  // Before there are weights, or where a crash may take them back, a worker that is alone may bring another model.
  const bool may_bring_another = config_.durability != Durability::kVersion || !HasBegun();
  const uint64_t kind = random_.Below(may_bring_another ? 2 : 3);
  if (!servers_[fault.server]->serving()) return;
  servers_[fault.server]->Take([this, fault, kind](ServerHost& server) {
    const uint32_t workers = config_.workers;
    const auto now = static_cast<uint64_t>(absl::ToInt64Microseconds(absl::Hours(10) + kernel_.Now()));
    const ParameterLayout other =
        *ParameterLayout::Create({{"weight", {static_cast<int64_t>(layout_.total_elements())}}},
                                 static_cast<uint32_t>(layout_.bucket_length(0)));
    const absl::Status status = kind == 0   ? server.JoinAs(workers + 1, now, workers, layout_)
                                : kind == 1 ? server.JoinAs(fault.worker, now, workers + 1, layout_)
                                            : server.JoinAs(fault.worker, now, workers, other);
    Tell(absl::StrCat("it is told: ", status.ToString()));
    if (status.ok()) Violated("a worker with another rank, number of workers or model has joined");
  });
}

bool World::HasBegun() const {
  for (uint32_t bucket = 0; bucket < layout_.bucket_count(); ++bucket) {
    if (history_->newest_version(bucket) == 0) return false;
  }
  return true;
}

void World::Cut(const Fault& fault) {
  for (uint32_t rank = 0; rank < config_.workers; ++rank) {
    for (uint32_t shard = 0; shard < config_.servers; ++shard) {
      if (fault.of != Fault::Of::kServer && rank != fault.worker) continue;
      if (fault.of != Fault::Of::kWorker && shard != fault.server) continue;
      network_.Cut(rank, shard, fault.carries != Fault::Carries::kRequests, fault.carries != Fault::Carries::kAnswers);
    }
  }
}

void World::Mend(const Fault& fault) {
  if (healed_) return;
  if (fault.kind == Fault::kCut) network_.Heal();
  if (fault.kind == Fault::kComeBackAndDie) {
    network_.Heal();
    ambush_ = Ambush{fault.kind, fault.worker, 0};
  }
  if (fault.kind == Fault::kComeBackTwice) ambush_ = Ambush{fault.kind, fault.worker, random_.Below(20)};
  if (fault.kind == Fault::kFillDisk || fault.kind == Fault::kFillDiskAtCall)
    servers_[fault.server]->disk().set_full(false);
  if (fault.kind == Fault::kLoseCalls) network_.set_options(config_.network);
}

void World::Heal() {
  Tell("all is mended");
  healed_ = true;
  NetworkOptions options = config_.network;
  options.lost = options.late = options.repeated = 0;
  network_.set_options(options);
  network_.Heal();
  for (const auto& server : servers_) {
    server->disk().Heal();
    server->disk().FlipBack();
  }
  // Where a crash may take everything back, the training begins anew, for which all are needed.
  if (config_.durability != Durability::kVersion) away_.clear();
  uint64_t newest = 0;
  for (uint32_t bucket = 0; bucket < layout_.bucket_count(); ++bucket) {
    newest = std::max(newest, history_->newest_version(bucket));
  }
  for (const auto& worker : workers_) newest = std::max(newest, worker->step());
  if (config_.consistency.mode != Consistency::kSync) newest = 0;
  for (const auto& worker : workers_) newest = std::max(newest, worker->step());
  target_step_ = newest + kStepsAtTheEnd;
}

bool World::AllFinished() const {
  for (uint32_t rank = 0; rank < config_.workers; ++rank) {
    if (away_.count(rank) == 0 && !workers_[rank]->finished()) return false;
  }
  return true;
}

// What the error says: all with empty folders.
void World::BeginAnew() {
  Tell("all begin anew");
  began_anew_ = true;
  for (const auto& worker : workers_) worker->BeginAnew();
  for (const auto& server : servers_) {
    server->Kill(/*lose_power=*/false);
    server->disk().RemoveAll();
  }
  target_step_ = kStepsAtTheEnd;
}

bool World::AwaitWorkers() {
  absl::Duration end = kernel_.Now() + kMostRecovery;
  while (!AllFinished() && kernel_.Now() < end) {
    kernel_.Sleep(kLook);
    if (!must_begin_anew_ || began_anew_) continue;
    BeginAnew();
    end = kernel_.Now() + kMostRecovery;
  }
  if (AllFinished()) return true;
  std::string who;
  for (uint32_t rank = 0; rank < config_.workers; ++rank) {
    if (away_.count(rank) == 0 && !workers_[rank]->finished()) {
      absl::StrAppend(&who, " worker ", rank, " is in step ", workers_[rank]->step(), " (",
                      workers_[rank]->failure().ToString(), ");");
    }
  }
  Violated(absl::StrCat("nothing goes wrong any more, but not all get on to step ", target_step_, ":", who));
  return false;
}

// Whatever crashes have taken back, a worker has what is published.
void World::CheckReplicas() {
  for (uint32_t bucket = 0; bucket < layout_.bucket_count(); ++bucket) {
    const uint32_t shard = ShardMap::Create(layout_.bucket_count(), config_.servers)->shard_of(bucket);
    const absl::StatusOr<PublishedWeights> published = servers_[shard]->Published(bucket);
    if (!published.ok()) continue;
    for (const auto& worker : workers_) worker->CheckReplica(bucket, published->version, published->weights);
  }
}

void World::CheckEnd() {
  CheckReplicas();
  history_->CheckThatAllCounts();
  if (!violation_.empty()) return;
  // What a start reads is what was there.
  for (const auto& server : servers_) {
    server->Kill(/*lose_power=*/random_.Chance(0.5));
    server->Start();
  }
  const absl::Duration end = kernel_.Now() + absl::Seconds(60);
  const auto all_serve = [this] {
    return std::all_of(servers_.begin(), servers_.end(), [](const auto& server) { return server->serving(); });
  };
  while (!all_serve() && kernel_.Now() < end) kernel_.Sleep(kLook);
  if (!all_serve()) Violated("a server does not start at the end");
}

void World::EndAll() {
  ending_ = true;
  for (const auto& worker : workers_) worker->Kill();
  for (const auto& server : servers_) server->Kill(/*lose_power=*/false);
  const auto quiet = [this] {
    return std::all_of(servers_.begin(), servers_.end(), [](const auto& server) { return server->quiet(); }) &&
           std::all_of(workers_.begin(), workers_.end(), [](const auto& worker) { return worker->quiet(); });
  };
  const absl::Duration end = kernel_.Now() + absl::Minutes(10);
  while (!quiet() && kernel_.Now() < end) kernel_.Sleep(kLook);
  if (!quiet()) return Violated("a process that has been told to end does not");
  over_ = true;
}

}  // namespace cddp::simulation
