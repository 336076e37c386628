#include "deploy/ctl/launcher.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/clock/monotonic.h"
#include "common/clock/steady_time.h"
#include "common/config/command_line.h"
#include "deploy/ctl/waiting.h"
#include "deploy/ctl/worker_events.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kListenTimeout = absl::Seconds(60);
constexpr absl::Duration kEndTimeout = absl::Seconds(30);        // for a server that has nothing left to do
constexpr absl::Duration kGrace = absl::Seconds(5);              // between SIGTERM and SIGKILL
constexpr absl::Duration kShortGrace = absl::Milliseconds(500);  // the same, if nothing would be saved
constexpr absl::Duration kQuiet = absl::Seconds(10);             // without progress, until the waiting is reported
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kStatusTimeout = absl::Seconds(2);
constexpr size_t kLastWords = 10;
constexpr int kSignalExitCode = 128;  // plus the signal: a worker that was asked to end and has saved its state

// Programs print "cddp-worker: what is wrong"; here the message names the process in another way.
std::string WithoutProgramName(const std::string& line) {
  const size_t colon = line.find(": ");
  return line.compare(0, 5, "cddp-") == 0 && colon != std::string::npos ? line.substr(colon + 2) : line;
}

// The child's index in the list; nullopt for a process that was replaced, or one of the other list.
std::optional<int> PlaceOf(size_t child, const std::vector<size_t>& children) {
  const auto found = std::find(children.begin(), children.end(), child);
  if (found == children.end()) return std::nullopt;
  return static_cast<int>(found - children.begin());
}

std::string LastWords(const ChildProcess& child) {
  const std::vector<std::string> lines = LastLines(child.log_path(), kLastWords);
  if (lines.empty()) return absl::StrCat("it left no words in ", child.log_path());
  return absl::StrCat("its last words (all of them: ", child.log_path(), "):\n    ", absl::StrJoin(lines, "\n    "));
}

// The exit code as a shell reports it.
int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : kSignalExitCode + WTERMSIG(wait_status);
}

}  // namespace

std::string LastWord(const ChildProcess& child) {
  const std::vector<std::string> words = LastLines(child.log_path(), 1);
  return words.empty() ? "" : WithoutProgramName(words[0]);
}

Launcher::Launcher(const LaunchPlan* plan, LaunchListener* listener, Progress* progress)
    : plan_(*plan),
      listener_(listener),
      progress_(progress),
      server_listens_(plan->servers),
      addresses_(plan->addresses),
      progress_at_(MonotonicNow()),
      quiet_limit_(kQuiet) {
  if (plan->servers > 0) addresses_.resize(plan->servers);
}

absl::Status Launcher::Prepare() {
  absl::StatusOr<std::unique_ptr<Supervisor>> supervisor = Supervisor::Create();
  if (!supervisor.ok()) return supervisor.status();
  supervisor_ = *std::move(supervisor);
  return absl::OkStatus();
}

RunEnd Launcher::Drive(const std::function<void()>& before_servers_end) {
  if (std::optional<RunEnd> end = StartServers()) return *end;
  if (std::optional<RunEnd> end = StartWorkers()) return *end;
  if (std::optional<RunEnd> end = Until([this] { return running_workers_ == 0; })) return *end;

  before_servers_end();
  servers_may_end_ = true;
  for (const size_t server : server_children_) supervisor_->Terminate(server);
  const auto still_running = [this] {
    for (const size_t child : server_children_) {
      const ChildProcess& server = supervisor_->child(child);
      if (server.running()) return absl::StrCat(server.name(), " did not end; ", LastWords(server));
    }
    return std::string();
  };
  if (std::optional<RunEnd> end =
          Until([this] { return running_servers_ == 0; }, SteadyNow() + kEndTimeout, still_running)) {
    return *end;
  }
  return {};
}

void Launcher::EndAll(const RunEnd& end, bool saves_state) {
  if (end.state == RunState::kInterrupted) {
    std::fprintf(stderr, "cddp: SIG%s: %s (once more: at once)\n", sigabbrev_np(end.exit_code - kSignalExitCode),
                 saves_state ? "the workers finish their step and save their state" : "ending all processes");
  }
  supervisor_->EndAll(end.state == RunState::kInterrupted && !saves_state ? kShortGrace : kGrace);
}

std::vector<ServerStatus> Launcher::Query(absl::Duration timeout) {
  if (status_ == nullptr) status_ = std::make_unique<StatusClient>(addresses_);
  return status_->Query(timeout, absl::ZeroDuration());
}

void Launcher::NoteProgress() {
  progress_at_ = MonotonicNow();
  quiet_limit_ = kQuiet;
}

void Launcher::NoteQuiet() {
  const absl::Duration quiet = MonotonicNow() - progress_at_;
  const bool workers_run = running_workers_ > 0 && !servers_may_end_;
  if (!workers_run || quiet < quiet_limit_) return;
  progress_->Print(DescribeWaiting(Query(kStatusTimeout), quiet));
  quiet_limit_ = 2 * quiet;
}

std::string Launcher::LogPath(std::string name) const {
  std::replace(name.begin(), name.end(), ' ', '-');  // "worker 3" -> "worker-3.log"
  return absl::StrCat(plan_.log_folder, "/", name, ".log");
}

ChildSpec Launcher::ServerSpec(int shard) const {
  const std::string name = absl::StrCat("server ", shard);
  return {name, plan_.server(shard), LogPath(name)};
}

ChildSpec Launcher::WorkerSpec(int worker) const {
  const std::string name = absl::StrCat("worker ", plan_.first_rank + worker);
  WorkerCommand command = plan_.worker(worker, addresses_);
  return {name, std::move(command.argv), LogPath(name), std::move(command.environment), command.output};
}

std::optional<RunEnd> Launcher::StartServers() {
  if (plan_.servers == 0) return std::nullopt;
  for (int shard = 0; shard < plan_.servers; ++shard) {
    absl::StatusOr<size_t> child = supervisor_->Start(ServerSpec(shard));
    if (!child.ok()) return RunEnd{RunState::kFailed, kExitFailure, std::string(child.status().message())};
    server_children_.push_back(*child);
    ++running_servers_;
  }
  const auto missing = [this] { return std::find(addresses_.begin(), addresses_.end(), ""); };
  const auto late = [&] {
    const ChildProcess& server = supervisor_->child(server_children_[missing() - addresses_.begin()]);
    return absl::StrCat(server.name(), " did not begin to listen; ", LastWords(server));
  };
  if (std::optional<RunEnd> end =
          Until([&] { return missing() == addresses_.end(); }, SteadyNow() + kListenTimeout, late)) {
    return end;
  }
  progress_->Print(absl::StrCat("watch it with: cddp status --watch --servers=", absl::StrJoin(addresses_, ",")));
  return std::nullopt;
}

std::optional<RunEnd> Launcher::StartWorkers() {
  for (int worker = 0; worker < plan_.workers; ++worker) {
    absl::StatusOr<size_t> child = supervisor_->Start(WorkerSpec(worker));
    if (!child.ok()) return RunEnd{RunState::kFailed, kExitFailure, std::string(child.status().message())};
    worker_children_.push_back(*child);
    ++running_workers_;
  }
  return std::nullopt;
}

std::optional<RunEnd> Launcher::Until(const std::function<bool()>& condition, absl::Time deadline,
                                      const std::function<std::string()>& late) {
  while (!condition()) {
    const absl::Time look = SteadyNow() + kLook;
    const SupervisorEvent event = supervisor_->Wait(std::min(deadline, look));
    if (std::holds_alternative<TimedOut>(event)) {
      if (look >= deadline) return RunEnd{RunState::kFailed, kExitFailure, late()};
      NoteQuiet();
    }
    if (const auto* received = std::get_if<SignalReceived>(&event)) {
      return RunEnd{RunState::kInterrupted, kSignalExitCode + received->signal,
                    absl::StrCat("ended by SIG", sigabbrev_np(received->signal), "; ", plan_.left_behind)};
    }
    if (const auto* line = std::get_if<ChildLine>(&event)) Handle(*line);
    if (const auto* exit = std::get_if<ChildExit>(&event)) {
      if (std::optional<RunEnd> end = Handle(*exit)) return end;
    }
    if (running_workers_ > 0 && SteadyNow() - looked_at_ >= kLook) {
      looked_at_ = SteadyNow();
      if (std::optional<RunEnd> end = listener_->Look()) return end;
    }
  }
  return std::nullopt;
}

void Launcher::Handle(const ChildLine& line) {
  if (const std::optional<int> worker = PlaceOf(line.child, worker_children_); worker.has_value()) {
    listener_->WorkerSaid(*worker, line.line);
    return;
  }
  const std::optional<int> shard = PlaceOf(line.child, server_children_);
  if (!shard.has_value()) return;
  const absl::StatusOr<WorkerEvent> event = ParseWorkerEvent(line.line);
  const auto* listening = event.ok() ? std::get_if<ListeningEvent>(&*event) : nullptr;
  if (listening == nullptr) {
    progress_->Clear();
    spdlog::warn("event=unreadable_line child=\"{}\" line=\"{}\"", supervisor_->child(line.child).name(),
                 line.line.substr(0, 200));
    return;
  }
  NoteProgress();
  addresses_[*shard] = listening->address;
  server_listens_[*shard] = true;
}

std::optional<RunEnd> Launcher::Handle(const ChildExit& exit) {
  const ChildProcess& child = supervisor_->child(exit.child);
  const int status = child.wait_status();
  const bool succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const bool was_killed = WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) > kSignalExitCode);
  if (const std::optional<int> shard = PlaceOf(exit.child, server_children_); shard.has_value()) {
    --running_servers_;
    if (succeeded && servers_may_end_) return std::nullopt;
    if (plan_.durable && was_killed && !servers_may_end_ && RestartServer(*shard)) return std::nullopt;
    return ChildFailed(supervisor_->child(exit.child), /*is_worker=*/false);
  }
  --running_workers_;
  const int worker = *PlaceOf(exit.child, worker_children_);
  if (listener_->EndedWell(worker, child)) return std::nullopt;
  if (plan_.durable && was_killed && RestartWorker(worker)) return std::nullopt;
  return ChildFailed(supervisor_->child(exit.child), /*is_worker=*/true);
}

bool Launcher::RestartServer(int shard) {
  // A server that ends before it listens would end again. Before the workers run there is nothing to continue.
  if (!server_listens_[shard] || running_workers_ == 0) return false;
  ChildSpec spec = ServerSpec(shard);
  spec.argv.push_back(absl::StrCat("--listen=", addresses_[shard]));  // the last one counts
  spec.argv.push_back("--resume");                                    // it continues from its state, or not at all
  const std::optional<size_t> child = StartAgain(std::move(spec), "journal");
  if (!child.has_value()) return false;
  server_children_[shard] = *child;
  server_listens_[shard] = false;
  ++running_servers_;
  return true;
}

bool Launcher::RestartWorker(int worker) {
  if (!listener_->CanGoOn(worker)) return false;
  const std::optional<size_t> child = StartAgain(WorkerSpec(worker), "checkpoint");
  if (!child.has_value()) return false;
  worker_children_[worker] = *child;
  ++running_workers_;
  return true;
}

std::optional<size_t> Launcher::StartAgain(ChildSpec spec, const std::string& from) {
  spec.log_path = LogPath(absl::StrCat("restart-", ++restarts_, "-", spec.name));
  const absl::StatusOr<size_t> child = supervisor_->Start(spec);
  if (!child.ok()) return std::nullopt;
  progress_->Print(absl::StrCat(spec.name, " was killed; it goes on from its ", from, " (log: ", spec.log_path, ")"));
  return *child;
}

RunEnd Launcher::ChildFailed(const ChildProcess& child, bool is_worker) const {
  const int status = child.wait_status();
  const bool as_it_is = is_worker && plan_.worker_exit_codes;
  if (!as_it_is && WIFEXITED(status) && WEXITSTATUS(status) == kExitBadInput) {
    // The child has printed in one line what is wrong with its input, which came from our flags.
    const std::string word = LastWord(child);
    return {RunState::kFailed, kExitBadInput,
            absl::StrCat(child.name(), ": ", word.empty() ? "bad input" : word, " (log: ", child.log_path(), ")")};
  }
  const bool too_early = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return {RunState::kFailed, as_it_is ? ExitCode(status) : kExitFailure,
          absl::StrCat(child.name(), too_early ? " ended before the training was over, with " : " failed with ",
                       DescribeWaitStatus(status), "; ", LastWords(child))};
}

}  // namespace cddp::ctl
