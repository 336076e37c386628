#include "deploy/ctl/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/clock/steady_time.h"

namespace cddp::ctl {
namespace {

// How long children may take to end cleanly when the supervisor goes away without EndAll().
constexpr absl::Duration kDefaultGrace = absl::Seconds(5);

int PollTimeout(absl::Time deadline) {
  if (deadline == absl::InfiniteFuture()) return -1;
  const absl::Duration left = std::clamp(deadline - SteadyNow(), absl::ZeroDuration(), absl::Hours(24));
  return static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Create() {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCHLD}) sigaddset(&signals, signal);
  sigset_t old_mask;
  pthread_sigmask(SIG_BLOCK, &signals, &old_mask);
  const int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
    return absl::ErrnoToStatus(error, "signalfd");
  }
  return std::unique_ptr<Supervisor>(new Supervisor(fd, old_mask));
}

Supervisor::~Supervisor() {
  EndAll(kDefaultGrace);
  close(signal_fd_);
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

absl::StatusOr<size_t> Supervisor::Start(const ChildSpec& spec) {
  absl::StatusOr<ChildProcess> child = ChildProcess::Spawn(spec, old_mask_);
  if (!child.ok()) return child.status();
  children_.push_back(*std::move(child));
  return children_.size() - 1;
}

SupervisorEvent Supervisor::Wait(absl::Time deadline) {
  while (events_.empty()) {
    const bool late = SteadyNow() >= deadline;
    Poll(deadline);
    if (events_.empty() && late) return TimedOut{};
  }
  SupervisorEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

void Supervisor::Terminate(size_t child) const {
  if (children_[child].running()) children_[child].Kill(SIGTERM);
}

void Supervisor::EndAll(absl::Duration grace) {
  events_.clear();
  KillRunning(SIGTERM);
  absl::Time deadline = SteadyNow() + grace;
  while (AnyRunning()) {
    Poll(deadline);
    const bool told_again = std::any_of(events_.begin(), events_.end(), [](const SupervisorEvent& event) {
      return std::holds_alternative<SignalReceived>(event);
    });
    events_.clear();
    if (told_again || SteadyNow() >= deadline) {
      KillRunning(SIGKILL);
      deadline = absl::InfiniteFuture();
    }
  }
}

void Supervisor::Poll(absl::Time deadline) {
  std::vector<pollfd> fds = {{signal_fd_, POLLIN, 0}};
  for (const ChildProcess& child : children_) fds.push_back({child.stdout_fd(), POLLIN, 0});  // -1 is ignored
  if (poll(fds.data(), fds.size(), PollTimeout(deadline)) <= 0) return;
  for (size_t i = 0; i < children_.size(); ++i) {
    if (fds[i + 1].revents == 0) continue;
    for (std::string& line : children_[i].ReadLines()) events_.push_back(ChildLine{i, std::move(line)});
  }
  if (fds[0].revents != 0) ReadSignals();
}

void Supervisor::ReadSignals() {
  bool child_changed = false;
  signalfd_siginfo info;
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGCHLD) {
      child_changed = true;
    } else if (info.ssi_signo == SIGTSTP) {
      StopWithChildren();
    } else {
      events_.push_back(SignalReceived{static_cast<int>(info.ssi_signo)});
    }
  }
  if (!child_changed) return;
  // Pending signals of one kind merge, so check every child.
  for (size_t i = 0; i < children_.size(); ++i) {
    if (!children_[i].running() || !children_[i].TryReap()) continue;
    for (std::string& line : children_[i].ReadLines()) events_.push_back(ChildLine{i, std::move(line)});
    events_.push_back(ChildExit{i});
  }
}

void Supervisor::StopWithChildren() {
  KillRunning(SIGSTOP);
  raise(SIGSTOP);  // returns when we are continued
  KillRunning(SIGCONT);
}

void Supervisor::KillRunning(int signal) const {
  for (const ChildProcess& child : children_) {
    if (child.running()) child.Kill(signal);
  }
}

bool Supervisor::AnyRunning() const {
  return std::any_of(children_.begin(), children_.end(), [](const ChildProcess& child) { return child.running(); });
}

}  // namespace cddp::ctl
