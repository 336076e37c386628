// Tells every server now and then that the worker lives, and hears what the servers' views are.

#ifndef WORKER_CLUSTER_HEARTBEATS_H_
#define WORKER_CLUSTER_HEARTBEATS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "cddp/v1/parameter_server.pb.h"
#include "common/clock/end_signal.h"
#include "worker/cluster/server_connection.h"

namespace cddp {

// Thread-safe. A thread of its own sends to all servers at once: one that does not answer must not keep those to the
// others back.
class Heartbeats {
 public:
  // `servers` must outlive this.
  Heartbeats(const v1::WorkerId& worker, absl::Duration period,
             const std::vector<std::unique_ptr<ServerConnection>>& servers)
      : worker_(worker), period_(period), servers_(servers), thread_([this] { Run(); }) {}
  ~Heartbeats();

  // What the next ones tell.
  void NoteProgress(uint64_t step, double loss) {
    step_.store(step, std::memory_order_relaxed);
    loss_.store(loss, std::memory_order_relaxed);
  }

 private:
  void Run();
  // Says in the log whom the step waits for, by what a server has answered.
  void TellWaiting(const std::string& server, const v1::HeartbeatResponse& response);

  const v1::WorkerId worker_;
  const absl::Duration period_;
  const std::vector<std::unique_ptr<ServerConnection>>& servers_;
  std::atomic<uint64_t> step_{0};
  std::atomic<double> loss_{0};
  uint64_t told_waiting_ms_ = 0;  // the thread's
  EndSignal ending_;
  std::thread thread_;
};

}  // namespace cddp

#endif  // WORKER_CLUSTER_HEARTBEATS_H_
