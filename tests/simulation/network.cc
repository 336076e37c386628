#include "tests/simulation/network.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/server_host.h"

namespace cddp::simulation {
namespace {

constexpr absl::Duration kKeepAlive = absl::Seconds(10);

absl::Status Broken() { return absl::UnavailableError("connection broken"); }

}  // namespace

// One call, from its beginning to its end.
struct Network::Pending {
  Process* caller = nullptr;
  uint32_t worker = 0;
  ServerHost* server = nullptr;
  uint64_t taken_by = 0;  // number of the server's start that had the request last; 0: none
  Serve serve;
  Done done;
  bool finished = false;     // `done` is on its way
  bool lost_answer = false;  // a link did not carry it
};

void Network::Cut(uint32_t worker, uint32_t server, bool to_server, bool to_worker) {
  if (to_server) cut_to_server_.insert({worker, server});
  if (to_worker) cut_to_worker_.insert({worker, server});
}

void Network::Heal() {
  cut_to_server_.clear();
  cut_to_worker_.clear();
}

bool Network::IsCut(uint32_t worker, uint32_t server, bool to_server) const {
  return (to_server ? cut_to_server_ : cut_to_worker_).count({worker, server}) > 0;
}

void Network::Call(Process* caller, uint32_t worker, ServerHost* server, Serve serve, absl::Duration timeout,
                   Done done) {
  auto call = std::make_shared<Pending>();
  call->caller = caller;
  call->worker = worker;
  call->server = server;
  call->serve = std::move(serve);
  call->done = std::move(done);
  if (pending_.size() > 2 * most_pending_) {
    std::erase_if(pending_, [](const std::weak_ptr<Pending>& each) {
      const std::shared_ptr<Pending> other = each.lock();
      return other == nullptr || other->finished;
    });
    most_pending_ = std::max<size_t>(pending_.size(), 16);
  }
  pending_.push_back(call);
  Kernel& kernel = Kernel::Get();
  if (timeout != absl::InfiniteDuration()) {
    kernel.At(kernel.Now() + timeout, nullptr, [this, call] {
      Finish(call, absl::DeadlineExceededError("the call took too long"), absl::ZeroDuration());
    });
  }
  kernel.At(kernel.Now() + kKeepAlive, nullptr, [this, call] { KeepAlive(call); });
  if (caller->dead) return Finish(call, absl::CancelledError("the caller is dead"), absl::ZeroDuration());
  if (random_.Chance(options_.lost)) {  // on its way there
    return Finish(call, Broken(), random_.Between(absl::Milliseconds(1), absl::Seconds(2)));
  }
  if (random_.Chance(options_.late)) {
    Finish(call, Broken(), random_.Between(absl::Milliseconds(1), absl::Seconds(1)));
    return Deliver(call, random_.Between(absl::Milliseconds(1), absl::Seconds(8)));
  }
  Deliver(call, Delay());
  if (random_.Chance(options_.repeated)) Deliver(call, random_.Between(absl::Milliseconds(1), absl::Seconds(8)));
}

void Network::Deliver(const std::shared_ptr<Pending>& call, absl::Duration delay) {
  if (IsCut(call->worker, call->server->shard(), /*to_server=*/true)) return;  // KeepAlive finds out
  Kernel& kernel = Kernel::Get();
  kernel.At(kernel.Now() + delay, nullptr, [this, call, starts = call->server->starts()] {
    if (IsCut(call->worker, call->server->shard(), /*to_server=*/true)) return;
    if (!options_.outlives_servers && call->server->starts() != starts) return Finish(call, Broken(), Delay());
    if (!call->server->serving()) return Finish(call, absl::UnavailableError("connection refused"), Delay());
    call->taken_by = call->server->starts();
    call->server->Take([this, call](ServerHost& server) {
      call->serve(server, [this, call, process = server.process()](const absl::Status& status) {
        if (!process->dead) Answer(call, status);
      });
    });
  });
}

void Network::Answer(const std::shared_ptr<Pending>& call, const absl::Status& status) {
  const auto is_lost = [this, call] {
    call->lost_answer = IsCut(call->worker, call->server->shard(), /*to_server=*/false);
    return call->lost_answer;
  };
  if (is_lost()) return;
  if (random_.Chance(options_.lost)) {  // on its way back
    return Finish(call, Broken(), random_.Between(absl::Milliseconds(1), absl::Seconds(2)));
  }
  Kernel& kernel = Kernel::Get();
  kernel.At(kernel.Now() + Delay(), nullptr, [this, call, status, is_lost] {
    if (!is_lost()) Finish(call, status, absl::ZeroDuration());
  });
}

void Network::Finish(const std::shared_ptr<Pending>& call, const absl::Status& status, absl::Duration delay) {
  Kernel& kernel = Kernel::Get();
  if (delay > absl::ZeroDuration()) {
    kernel.At(kernel.Now() + delay, nullptr, [this, call, status] { Finish(call, status, absl::ZeroDuration()); });
    return;
  }
  if (call->finished) return;
  call->finished = true;
  kernel.Spawn(call->caller, [call, status] { std::exchange(call->done, nullptr)(status); });
}

void Network::ServerDied(const ServerHost& server) {
  for (const std::weak_ptr<Pending>& each : pending_) {
    const std::shared_ptr<Pending> call = each.lock();
    if (call == nullptr || call->finished || call->server != &server) continue;
    if (call->taken_by == server.starts() && !IsCut(call->worker, server.shard(), /*to_server=*/false)) {
      Finish(call, Broken(), Delay());
    }
  }
}

void Network::KeepAlive(const std::shared_ptr<Pending>& call) {
  if (call->finished) return;
  Kernel& kernel = Kernel::Get();
  const uint32_t shard = call->server->shard();
  const bool is_there = !call->lost_answer && !IsCut(call->worker, shard, true) && !IsCut(call->worker, shard, false) &&
                        call->server->serving() && call->server->starts() == call->taken_by;
  if (!is_there || call->caller->dead) return Finish(call, Broken(), absl::ZeroDuration());
  kernel.At(kernel.Now() + kKeepAlive, nullptr, [this, call] { KeepAlive(call); });
}

absl::Status Network::CallAndWait(Process* caller, uint32_t worker, ServerHost* server, Serve serve,
                                  absl::Duration timeout) {
  struct Result {
    bool known = false;
    absl::Status status;
    WaitQueue waiting;
  };
  const auto result = std::make_shared<Result>();
  Call(caller, worker, server, std::move(serve), timeout, [result](const absl::Status& status) {
    result->status = status;
    result->known = true;
    Kernel::Get().WakeAll(&result->waiting);
  });
  while (!result->known) Kernel::Get().Wait(&result->waiting);
  return result->status;
}

}  // namespace cddp::simulation
