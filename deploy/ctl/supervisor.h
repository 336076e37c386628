// Starts child processes, reports their events, and ends them before it ends itself.

#ifndef DEPLOY_CTL_SUPERVISOR_H_
#define DEPLOY_CTL_SUPERVISOR_H_

#include <signal.h>

#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "deploy/ctl/child_process.h"

namespace cddp::ctl {

struct ChildLine {  // a line of a child's standard output
  size_t child;
  std::string line;
};
struct ChildExit {  // comes after all of the child's lines
  size_t child;
};
struct SignalReceived {  // SIGINT, SIGTERM or SIGHUP was sent to us
  int signal;
};
struct TimedOut {};
using SupervisorEvent = std::variant<ChildLine, ChildExit, SignalReceived, TimedOut>;

// One poll() loop over the pipes of all children and one signalfd (so it blocks SIGINT, SIGTERM, SIGHUP, SIGTSTP and
// SIGCHLD of the process while it lives; at most one Supervisor exists at a time). When it is destroyed, all children
// are ended; when the process is killed instead, the kernel kills them (see ChildProcess).
//
// Ctrl-Z stops the children together with us, and `fg` continues them.
//
// Use it in the main thread only, before other threads are started.
class Supervisor {
 public:
  static absl::StatusOr<std::unique_ptr<Supervisor>> Create();
  ~Supervisor();

  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Returns the child's number: 0, 1, ...
  absl::StatusOr<size_t> Start(const ChildSpec& spec);

  // Waits for the next event, at most until `deadline`.
  SupervisorEvent Wait(absl::Time deadline);

  // Asks one child to end; its ChildExit follows.
  void Terminate(size_t child) const;

  // Ends the children that still run: SIGTERM, then SIGKILL after `grace` or when another signal asks us to end.
  // Returns when all children have ended. Events that have not been fetched are dropped.
  void EndAll(absl::Duration grace);

  const ChildProcess& child(size_t index) const { return children_[index]; }

 private:
  Supervisor(int signal_fd, const sigset_t& old_mask) : signal_fd_(signal_fd), old_mask_(old_mask) {}

  void Poll(absl::Time deadline);  // waits once; adds to events_
  void ReadSignals();
  void StopWithChildren();
  void KillRunning(int signal) const;
  bool AnyRunning() const;

  const int signal_fd_;
  const sigset_t old_mask_;
  std::vector<ChildProcess> children_;
  std::deque<SupervisorEvent> events_;
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_SUPERVISOR_H_
