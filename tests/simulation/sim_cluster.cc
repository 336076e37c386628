#include "tests/simulation/sim_cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "common/retry/retry_call.h"
#include "server/update_run.h"
#include "tests/simulation/server_host.h"
#include "tests/simulation/world.h"

namespace cddp::simulation {

// From the first try to the answer, as worker/cluster/exchange_calls.cc has it.
struct SimCluster::ExchangeCall {
  ExchangeCall(const RetryOptions& options, uint64_t seed) : retry(options, seed) {}
  std::shared_ptr<SimCluster*> cluster;
  uint32_t shard = 0;
  PushRequest request;
  Answered done;
  Retry retry;
  bool finished = false;
  absl::StatusOr<std::vector<PushReply>> replies = std::vector<PushReply>();
};

SimCluster::SimCluster(World* world, Process* process, uint32_t rank, uint64_t incarnation)
    : world_(*world),
      process_(process),
      rank_(rank),
      incarnation_(incarnation),
      map_(*ShardMap::Create(world->layout().bucket_count(), world->config().servers)),
      servers_(world->config().servers),
      accepted_(world->layout().total_elements()),
      self_(std::make_shared<SimCluster*>(this)) {}

SimCluster::~SimCluster() {
  CancelExchanges(absl::CancelledError("the process ends"));
  *self_ = nullptr;
}

uint32_t SimCluster::worker_count() const { return world_.config().workers; }
bool SimCluster::is_sync() const { return world_.config().consistency.mode == Consistency::kSync; }

uint64_t SimCluster::version() const {
  uint64_t version = UINT64_MAX;
  for (const Server& server : servers_) version = std::min(version, server.version);
  return version;
}

absl::Status SimCluster::Try(uint32_t shard, const RetryOptions& options, const Network::Serve& serve) {
  Retry retry(options, rank_);
  ProcessClock clock;
  return RetryCall(clock, retry, [&](absl::Duration timeout) {
    return world_.network().CallAndWait(process_, rank_, &world_.server(shard), serve, timeout);
  });
}

void SimCluster::NoteView(uint32_t shard, uint64_t view) {
  servers_[shard].view = std::max(servers_[shard].view, view);
  world_.history().NoteView(shard, view);
}

absl::Status SimCluster::JoinServer(uint32_t shard) {
  RetryOptions options;
  options.patience = world_.config().server_timeout;
  const auto answer = std::make_shared<ServerHost::JoinAnswer>();
  const auto join = [rank = rank_, incarnation = incarnation_, answer](ServerHost& server,
                                                                       const Network::Reply& reply) {
    const absl::StatusOr<ServerHost::JoinAnswer> joined = server.Join(rank, incarnation);
    if (joined.ok()) *answer = *joined;
    reply(joined.status());
  };
  if (const absl::Status status = Try(shard, options, join); !status.ok()) return status;
  NoteView(shard, answer->view);
  servers_[shard].version = answer->version;
  return absl::OkStatus();
}

bool SimCluster::OneBeginsAnew() const {
  uint64_t most = 0;
  for (const Server& server : servers_) most = std::max(most, server.version);
  return is_sync() && version() == 0 && most > 1;
}

absl::Status SimCluster::CheckThatNoneBeginsAnew() {
  if (!OneBeginsAnew()) return absl::OkStatus();
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    if (servers_[shard].version > 0) continue;
    if (absl::Status status = JoinServer(shard); !status.ok()) return status;
  }
  if (!OneBeginsAnew()) return absl::OkStatus();
  return absl::FailedPreconditionError("a server begins anew, but others are further: it has lost its state");
}

absl::Status SimCluster::Join() {
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    if (absl::Status status = JoinServer(shard); !status.ok()) return status;
  }
  if (absl::Status status = CheckThatNoneBeginsAnew(); !status.ok()) return status;
  SendHeartbeats();
  return absl::OkStatus();
}

void SimCluster::SendHeartbeats() {
  Kernel& kernel = Kernel::Get();
  const absl::Duration period = world_.config().lease / 3;
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    const auto view = std::make_shared<uint64_t>(0);
    world_.network().Call(
        process_, rank_, &world_.server(shard),
        [rank = rank_, incarnation = incarnation_, step = step_, view](ServerHost& server,
                                                                       const Network::Reply& reply) {
          const absl::StatusOr<uint64_t> answer = server.Heartbeat(rank, incarnation, step);
          if (answer.ok()) *view = *answer;
          reply(answer.status());
        },
        period,
        [self = self_, shard, view](const absl::Status& status) {
          if (*self == nullptr) return;
          if (absl::IsFailedPrecondition(status)) (*self)->CancelExchanges(status);
          if (!status.ok()) return;
          (*self)->servers_[shard].heard = Kernel::Get().Now();
          (*self)->NoteView(shard, *view);
        });
  }
  kernel.At(kernel.Now() + period, process_, [self = self_] {
    if (*self != nullptr && !(*self)->process_->dead) (*self)->SendHeartbeats();
  });
}

void SimCluster::Exchange(std::vector<Push> pushes, Answered done) {
  RetryOptions options;
  options.patience = world_.config().server_timeout;
  options.try_timeout = absl::InfiniteDuration();
  auto call = std::make_shared<ExchangeCall>(options, rank_);
  call->cluster = self_;
  call->shard = server_of(pushes.front().bucket);
  call->request = {rank_, incarnation_, servers_[call->shard].view, std::move(pushes)};
  call->done = std::move(done);
  for (const Push& push : call->request.pushes) world_.history().NotePush(rank_, incarnation_, push);
  calls_.push_back(call);
  Send(call);
}

void SimCluster::Send(const std::shared_ptr<ExchangeCall>& call) {
  if (*call->cluster == nullptr || call->finished) return;
  SimCluster& cluster = **call->cluster;
  if (!cluster.cancelled_.ok()) return cluster.Finish(call, cluster.cancelled_);
  call->retry.Begin(Kernel::Get().Now());
  cluster.world_.network().Call(
      cluster.process_, cluster.rank_, &cluster.world_.server(call->shard),
      [call](ServerHost& server, const Network::Reply& reply) {
        server.Exchange(call->request, [call, reply](absl::StatusOr<std::vector<PushReply>> replies) {
          // A late request may be answered besides the one that its retry was.
          if (replies.ok()) call->replies = *replies;
          reply(replies.status());
        });
      },
      absl::InfiniteDuration(), [call](const absl::Status& status) { Ended(call, status); });
}

void SimCluster::Ended(const std::shared_ptr<ExchangeCall>& call, const absl::Status& status) {
  if (*call->cluster == nullptr || call->finished) return;
  SimCluster& cluster = **call->cluster;
  if (status.ok()) return cluster.Finish(call, call->replies);
  const absl::Duration now = Kernel::Get().Now();
  call->retry.NoteHeard(cluster.servers_[call->shard].heard);
  const std::optional<absl::Duration> pause = call->retry.NoteFailure(FailureOf(status), now);
  if (!pause.has_value()) return cluster.Finish(call, status);
  Kernel::Get().At(now + *pause, cluster.process_, [call] { Send(call); });
}

void SimCluster::Finish(const std::shared_ptr<ExchangeCall>& call,
                        const absl::StatusOr<std::vector<PushReply>>& replies) {
  if (std::exchange(call->finished, true)) return;
  calls_.remove(call);
  if (!replies.ok() && cancelled_.ok()) CheckThatItEnds(replies.status());
  for (size_t i = 0; i < call->request.pushes.size(); ++i) {
    const Push& push = call->request.pushes[i];
    if (replies.ok()) {
      NoteAccepted(push, (*replies)[i]);
      call->done(push.bucket, (*replies)[i]);
    } else {
      call->done(push.bucket, replies.status());
    }
  }
}

void SimCluster::CheckThatItEnds(const absl::Status& error) {
  Kernel::Get().Spawn(process_, [&world = world_, rank = rank_, error] {
    for (int tenths = 0; tenths < 100; ++tenths) {  // more than a step takes; it may stand still meanwhile
      if (!Kernel::Get().SleepAlive(absl::Milliseconds(100))) return;
    }
    world.Violated(absl::StrCat("worker ", rank, " has not ended 10 s after it was told: ", error.ToString()));
  });
}

void SimCluster::NoteAccepted(const Push& push, const PushReply& reply) {
  if (push.step == 0 || push.update.empty() || reply.refused) return;
  const ElementRange range = world_.layout().bucket_range(push.bucket);
  std::vector<float> values(range.size());
  AddUpdate(push.update.view(), absl::MakeSpan(values)).IgnoreError();
  for (size_t i = 0; i < values.size(); ++i) accepted_[range.begin + i] += values[i];
}

void SimCluster::CancelExchanges(const absl::Status& why) {
  if (cancelled_.ok() && !calls_.empty()) CheckThatItEnds(why);
  cancelled_.Update(why);
  while (!calls_.empty()) {
    const std::shared_ptr<ExchangeCall> call = calls_.front();
    Finish(call, cancelled_);
  }
}

absl::Status SimCluster::ReadSnapshot(absl::Span<const uint64_t> held, const TakeBucket& take) {
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    RetryOptions options;
    options.patience = world_.config().server_timeout;
    const absl::Status let = Try(
        shard, options, [rank = rank_, incarnation = incarnation_](ServerHost& server, const Network::Reply& reply) {
          reply(server.LetCatchUp(rank, incarnation));
        });
    if (!let.ok()) return let;
  }
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    RetryOptions options;
    options.patience = world_.config().server_timeout;
    const BucketRun run = map_.run(shard);
    for (uint32_t bucket = run.begin; bucket < run.end; ++bucket) {
      const auto weights = std::make_shared<PublishedWeights>();
      const auto read = [rank = rank_, incarnation = incarnation_, bucket, version = held.empty() ? 0 : held[bucket],
                         weights](ServerHost& server, const Network::Reply& reply) {
        absl::StatusOr<PublishedWeights> read = server.ReadToJoin(rank, incarnation, bucket, version);
        if (read.ok()) *weights = *read;
        reply(read.status());
      };
      absl::Status status = Try(shard, options, read);
      if (status.ok()) {
        status = take({bucket, weights->version, weights->weights,
                       UpdatesOfAll(weights->changes.value_or(std::vector<SharedBytes>()))});
      }
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status SimCluster::TakePart() {
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    const uint64_t version = servers_[shard].version;
    if (absl::Status status = JoinServer(shard); !status.ok()) return status;
    servers_[shard].version = version;
  }
  return absl::OkStatus();
}

void SimCluster::Leave(bool finished) {
  for (uint32_t shard = 0; shard < servers_.size(); ++shard) {
    RetryOptions options;
    options.patience = absl::Seconds(30);
    options.busy_patience = options.patience;
    Try(shard, options,
        [rank = rank_, incarnation = incarnation_, finished](ServerHost& server, const Network::Reply& reply) {
          reply(server.Leave(rank, incarnation, finished));
        })
        .IgnoreError();
  }
}

}  // namespace cddp::simulation
