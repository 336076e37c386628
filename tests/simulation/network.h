// The network between simulated workers and servers: calls that are late, get lost on their way there or back, come
// twice or after their caller has given up, and links that carry nothing, both ways or one.

#ifndef TESTS_SIMULATION_NETWORK_H_
#define TESTS_SIMULATION_NETWORK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/simulation/runtime/kernel.h"

namespace cddp::simulation {

class ServerHost;

struct NetworkOptions {
  absl::Duration least_delay = absl::Microseconds(100);
  absl::Duration most_delay = absl::Milliseconds(2);
  double lost = 0;      // calls that break, on their way there or back
  double late = 0;      // calls whose request comes long after their caller was told that they broke
  double repeated = 0;  // requests that come twice
  // May a request to a server's process come to the next one? TCP does not do so: with a server that may come back with
  // less, an answer to a request that its worker has long given up would pass for one that the worker has.
  bool outlives_servers = true;
};

class Network {
 public:
  Network(const NetworkOptions& options, uint64_t seed) : options_(options), random_(seed) {}

  void set_options(const NetworkOptions& options) { options_ = options; }

  // Links between worker `worker` and server `server`; each way by itself.
  void Cut(uint32_t worker, uint32_t server, bool to_server, bool to_worker);
  void Heal();

  // One call of `caller`, which runs on worker `worker`. `serve` runs in a fiber of the server's process, perhaps more
  // than once, and calls `reply` when it has the answer; `done` is called exactly once, in a fiber of the caller's:
  // with what was replied, DeadlineExceeded after `timeout`, or Unavailable.
  using Reply = std::function<void(absl::Status)>;
  using Serve = std::function<void(ServerHost& server, Reply reply)>;
  using Done = std::function<void(absl::Status)>;
  void Call(Process* caller, uint32_t worker, ServerHost* server, Serve serve, absl::Duration timeout, Done done);
  // The same for a fiber that waits.
  absl::Status CallAndWait(Process* caller, uint32_t worker, ServerHost* server, Serve serve, absl::Duration timeout);

  // Its connections break, as far as the links carry that.
  void ServerDied(const ServerHost& server);

  absl::Duration Delay() { return random_.Between(options_.least_delay, options_.most_delay); }

 private:
  struct Pending;
  bool IsCut(uint32_t worker, uint32_t server, bool to_server) const;
  void Deliver(const std::shared_ptr<Pending>& call, absl::Duration delay);
  void Answer(const std::shared_ptr<Pending>& call, const absl::Status& status);
  void Finish(const std::shared_ptr<Pending>& call, const absl::Status& status, absl::Duration delay);
  // Looks now and then whether the other end is still there.
  void KeepAlive(const std::shared_ptr<Pending>& call);

  NetworkOptions options_;
  Random random_;
  std::set<std::pair<uint32_t, uint32_t>> cut_to_server_;  // worker, server
  std::set<std::pair<uint32_t, uint32_t>> cut_to_worker_;
  std::vector<std::weak_ptr<Pending>> pending_;
  size_t most_pending_ = 16;
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_NETWORK_H_
