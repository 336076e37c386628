// Tells every server periodically that the worker is alive, and receives the servers' views.

#ifndef WORKER_CLUSTER_HEARTBEATS_H_
#define WORKER_CLUSTER_HEARTBEATS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cddp/v1/parameter_server.pb.h"
#include "common/clock/end_signal.h"
#include "worker/cluster/server_connection.h"

namespace cddp {

// Thread-safe. Its thread sends to all servers at once: a server that does not answer must not delay the heartbeats to
// the others.
class Heartbeats {
 public:
  // Called from the thread with what a server has said that will not change: another process holds the rank, or the
  // server has lost its state. May be called again.
  using Refused = std::function<void(const absl::Status& why)>;

  // `servers` must outlive this.
  Heartbeats(const v1::WorkerId& worker, absl::Duration period,
             const std::vector<std::unique_ptr<ServerConnection>>& servers, Refused refused)
      : worker_(worker), period_(period), servers_(servers), refused_(std::move(refused)), thread_([this] { Run(); }) {}
  ~Heartbeats();

  // Sets what the next heartbeats report.
  void NoteProgress(uint64_t step, double loss) {
    step_.store(step, std::memory_order_relaxed);
    loss_.store(loss, std::memory_order_relaxed);
  }

 private:
  void Run();
  // Logs which workers the step waits for, from a server's answer.
  void TellWaiting(const std::string& server, const v1::HeartbeatResponse& response);

  const v1::WorkerId worker_;
  const absl::Duration period_;
  const std::vector<std::unique_ptr<ServerConnection>>& servers_;
  const Refused refused_;
  std::atomic<uint64_t> step_{0};
  std::atomic<double> loss_{0};
  uint64_t told_waiting_ms_ = 0;  // used by the thread only
  EndSignal ending_;
  std::thread thread_;
};

}  // namespace cddp

#endif  // WORKER_CLUSTER_HEARTBEATS_H_
