#include "deploy/ctl/train_run.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/clock/monotonic.h"
#include "common/config/command_line.h"
#include "common/files/durable_file.h"
#include "deploy/ctl/plot.h"
#include "deploy/ctl/train_text.h"
#include "deploy/ctl/waiting.h"
#include "deploy/ctl/worker_events.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kListenTimeout = absl::Seconds(60);
constexpr absl::Duration kEndTimeout = absl::Seconds(30);        // of a server that has nothing left to do
constexpr absl::Duration kGrace = absl::Seconds(5);              // between SIGTERM and SIGKILL
constexpr absl::Duration kShortGrace = absl::Milliseconds(500);  // likewise, where nothing would be saved
constexpr absl::Duration kQuiet = absl::Seconds(10);  // without a word of a worker, before whom they wait for is said
constexpr absl::Duration kLook = absl::Seconds(1);
constexpr absl::Duration kStatusTimeout = absl::Seconds(2);
constexpr size_t kLastWords = 10;
constexpr int kSignalExitCode = 128;  // and the signal: a worker that was asked to end, and has saved its state

// "worker 3" -> "worker-3.log"
std::string LogName(std::string name) {
  std::replace(name.begin(), name.end(), ' ', '-');
  return absl::StrCat(name, ".log");
}

// Programs say "cddp-worker: what is wrong"; who said it is told in another way here.
std::string WithoutProgramName(const std::string& line) {
  const size_t colon = line.find(": ");
  return line.compare(0, 5, "cddp-") == 0 && colon != std::string::npos ? line.substr(colon + 2) : line;
}

// Whose place in the list it is; none: a process that another has replaced, or of the other list.
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

}  // namespace

TrainRun::TrainRun(const TrainOptions& options, const Binaries& binaries, Progress* progress)
    : options_(options),
      binaries_(binaries),
      progress_(progress),
      started_at_(absl::Now()),
      server_listens_(options.servers),
      worker_joined_(options.workers),
      server_addresses_(options.servers),
      history_(options.workers),
      heard_at_(MonotonicNow()),
      quiet_limit_(kQuiet) {}

int TrainRun::Run() {
  progress_->Print(DescribeJob(options_));
  if (options_.resume) Restore();
  if (options_.durable) events_.open(EventsPath(options_), std::ios::app);
  if (options_.resume) events_ << std::endl;  // ends a line that may be torn
  // The first thing: files in a folder with a report are known to be a run's.
  if (absl::Status saved = Save({RunState::kRunning, 0, ""}); !saved.ok()) return ReportError(saved);
  absl::StatusOr<std::unique_ptr<Supervisor>> supervisor = Supervisor::Create();
  if (!supervisor.ok()) return ReportError(supervisor.status());
  supervisor_ = *std::move(supervisor);

  End end = Drive();
  progress_->Clear();
  if (end.state == RunState::kInterrupted) {
    std::fprintf(stderr, "cddp: SIG%s: %s (once more: at once)\n", sigabbrev_np(end.exit_code - kSignalExitCode),
                 KeepsState() ? "the workers finish their step and save their state" : "ending all processes");
  }
  supervisor_->EndAll(end.state == RunState::kInterrupted && !KeepsState() ? kShortGrace : kGrace);
  if (absl::Status saved = Save(end); !saved.ok() && end.exit_code == 0) {
    end = {RunState::kFailed, kExitFailure, std::string(saved.message())};
  }
  if (!end.error.empty()) std::fprintf(stderr, "cddp: %s\n", end.error.c_str());
  if (!weights_crc32c_.empty() && !history_.epochs().empty()) PrintSummary();
  return end.exit_code;
}

bool TrainRun::KeepsState() const { return options_.durable || options_.trace; }

TrainRun::End TrainRun::Drive() {
  if (std::optional<End> end = StartServers()) return *end;
  if (std::optional<End> end = StartWorkers()) return *end;
  if (std::optional<End> end = Until([this] { return running_workers_ == 0; })) return *end;

  servers_version_ = ServersVersion();
  servers_may_end_ = true;
  for (int shard = 0; shard < options_.servers; ++shard) supervisor_->Terminate(server_children_[shard]);
  const auto still_running = [this] {
    for (int shard = 0; shard < options_.servers; ++shard) {
      const ChildProcess& server = supervisor_->child(server_children_[shard]);
      if (server.running()) return absl::StrCat(server.name(), " did not end; ", LastWords(server));
    }
    return std::string();
  };
  if (std::optional<End> end =
          Until([this] { return running_servers_ == 0; }, absl::Now() + kEndTimeout, still_running)) {
    return *end;
  }
  return Judge();
}

TrainRun::End TrainRun::Judge() {
  absl::StatusOr<std::string> checksum = history_.WeightsChecksum(options_.ends_equal());
  if (!checksum.ok()) return {RunState::kFailed, kExitFailure, std::string(checksum.status().message())};
  weights_crc32c_ = *checksum;
  ShowNewEpochs();
  result_ = JudgeRun(options_, history_, servers_version_);
  if (!worker_problem_.empty()) result_.problems.push_back(worker_problem_);
  if (result_.problems.empty()) return {};
  return {RunState::kFailed, kExitFailure,
          absl::StrCat("the workers have ended, but the result is not what was asked for: ",
                       absl::StrJoin(result_.problems, "; "))};
}

std::optional<uint64_t> TrainRun::ServersVersion() {
  if (status_ == nullptr) status_ = std::make_unique<StatusClient>(server_addresses_);
  std::optional<uint64_t> version;
  for (const ServerStatus& server : status_->Query(kStatusTimeout, absl::ZeroDuration())) {
    if (!server.response.ok()) return std::nullopt;
    version = std::min(version.value_or(server.response->min_version()), server.response->min_version());
  }
  return version;
}

void TrainRun::NoteQuiet() {
  const absl::Duration quiet = MonotonicNow() - heard_at_;
  const bool workers_run = running_workers_ > 0 && !servers_may_end_;
  if (!workers_run || quiet < quiet_limit_) return;
  if (status_ == nullptr) status_ = std::make_unique<StatusClient>(server_addresses_);
  progress_->Print(DescribeWaiting(status_->Query(kStatusTimeout, absl::ZeroDuration()), quiet));
  quiet_limit_ = 2 * quiet;
}

std::optional<TrainRun::End> TrainRun::StartServers() {
  for (int shard = 0; shard < options_.servers; ++shard) {
    if (std::optional<End> end =
            Start(absl::StrCat("server ", shard), binaries_.server, ServerFlags(options_, shard))) {
      return end;
    }
    server_children_.push_back(shard);
    ++running_servers_;
  }
  const auto missing = [this] { return std::find(server_addresses_.begin(), server_addresses_.end(), ""); };
  const auto late = [&] {
    const ChildProcess& server = supervisor_->child(missing() - server_addresses_.begin());
    return absl::StrCat(server.name(), " did not begin to listen; ", LastWords(server));
  };
  if (std::optional<End> end =
          Until([&] { return missing() == server_addresses_.end(); }, absl::Now() + kListenTimeout, late)) {
    return end;
  }
  progress_->Print(
      absl::StrCat("watch it with: cddp status --watch --servers=", absl::StrJoin(server_addresses_, ",")));
  return std::nullopt;
}

std::optional<TrainRun::End> TrainRun::StartWorkers() {
  for (int rank = 0; rank < options_.workers; ++rank) {
    if (std::optional<End> end =
            Start(absl::StrCat("worker ", rank), binaries_.worker, WorkerFlags(options_, rank, server_addresses_))) {
      return end;
    }
    worker_children_.push_back(options_.servers + rank);
    ++running_workers_;
  }
  return std::nullopt;
}

std::optional<TrainRun::End> TrainRun::Start(const std::string& name, const std::string& program,
                                             std::vector<std::string> flags) {
  flags.insert(flags.begin(), program);
  absl::StatusOr<size_t> child =
      supervisor_->Start({name, std::move(flags), absl::StrCat(LogFolder(options_), "/", LogName(name))});
  if (child.ok()) return std::nullopt;
  return End{RunState::kFailed, kExitFailure, std::string(child.status().message())};
}

std::optional<TrainRun::End> TrainRun::Until(const std::function<bool()>& condition, absl::Time deadline,
                                             const std::function<std::string()>& late) {
  while (!condition()) {
    const absl::Time look = absl::Now() + kLook;
    const SupervisorEvent event = supervisor_->Wait(std::min(deadline, look));
    if (std::holds_alternative<TimedOut>(event) && look < deadline) {
      NoteQuiet();
      continue;
    }
    if (std::holds_alternative<TimedOut>(event)) return End{RunState::kFailed, kExitFailure, late()};
    if (const auto* received = std::get_if<SignalReceived>(&event)) {
      return End{RunState::kInterrupted, 128 + received->signal,
                 absl::StrCat("ended by SIG", sigabbrev_np(received->signal), "; logs and the report so far are in ",
                              options_.output)};
    }
    std::optional<End> end;
    if (const auto* line = std::get_if<ChildLine>(&event)) end = Handle(*line);
    if (const auto* exit = std::get_if<ChildExit>(&event)) end = Handle(*exit);
    if (end.has_value()) return end;
  }
  return std::nullopt;
}

std::optional<TrainRun::End> TrainRun::Handle(const ChildLine& line) {
  heard_at_ = MonotonicNow();
  quiet_limit_ = kQuiet;
  absl::StatusOr<WorkerEvent> event = ParseWorkerEvent(line.line);
  absl::Status status = event.status();
  if (status.ok()) status = history_.Add(*event);
  if (!status.ok()) {
    // Libraries print, too; a line that we cannot read is no reason to end a training.
    progress_->Clear();
    spdlog::warn("event=unreadable_line child=\"{}\" reason=\"{}\" line=\"{}\"", supervisor_->child(line.child).name(),
                 std::string(status.message()), line.line.substr(0, 200));
    return std::nullopt;
  }
  if (const auto* listening = std::get_if<ListeningEvent>(&*event); listening != nullptr) {
    if (const std::optional<int> shard = PlaceOf(line.child, server_children_); shard.has_value()) {
      server_addresses_[*shard] = listening->address;
      server_listens_[*shard] = true;
    }
  }
  if (const std::optional<int> rank = PlaceOf(line.child, worker_children_);
      rank.has_value() && std::holds_alternative<JoinedEvent>(*event)) {
    worker_joined_[*rank] = true;
  }
  if (options_.durable) Remember(*event, line.line);
  if (std::holds_alternative<JoinedEvent>(*event) && !model_shown_) {
    model_shown_ = true;
    progress_->Print(DescribeModel(*history_.model()));
  }
  ShowNewEpochs();
  if (const auto* step = std::get_if<StepEvent>(&*event); step != nullptr && step->rank == 0) {
    progress_->Redraw(StepParts(options_, history_));
  }
  return std::nullopt;
}

std::optional<TrainRun::End> TrainRun::Handle(const ChildExit& exit) {
  const int status = supervisor_->child(exit.child).wait_status();
  const bool succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  const bool was_killed = WIFSIGNALED(status) || (WIFEXITED(status) && WEXITSTATUS(status) > kSignalExitCode);
  if (const std::optional<int> shard = PlaceOf(exit.child, server_children_); shard.has_value()) {
    --running_servers_;
    if (succeeded && servers_may_end_) return std::nullopt;
    if (options_.durable && was_killed && !servers_may_end_ && RestartServer(*shard)) return std::nullopt;
    return ChildFailed(supervisor_->child(exit.child));
  }
  --running_workers_;
  const int rank = *PlaceOf(exit.child, worker_children_);
  if (succeeded && history_.done(rank)) return std::nullopt;
  if (history_.done(rank) && WIFEXITED(status) && WEXITSTATUS(status) == kExitFailure) {
    // It has trained to its end, and says what is wrong with the result. The others may have to save theirs.
    const std::vector<std::string> words = LastLines(supervisor_->child(exit.child).log_path(), 1);
    if (worker_problem_.empty()) {
      worker_problem_ = absl::StrCat("worker ", rank, ": ", words.empty() ? "failed" : WithoutProgramName(words[0]));
    }
    return std::nullopt;
  }
  if (options_.durable && was_killed && RestartWorker(rank)) return std::nullopt;
  return ChildFailed(supervisor_->child(exit.child));
}

bool TrainRun::RestartServer(int shard) {
  // One that ends before it listens would end again. Before the workers run there is nothing to go on with.
  if (!server_listens_[shard] || running_workers_ == 0) return false;
  std::vector<std::string> flags = ServerFlags(options_, shard);
  flags.push_back(absl::StrCat("--listen=", server_addresses_[shard]));  // the last one counts
  const std::optional<size_t> child =
      StartAgain(absl::StrCat("server ", shard), binaries_.server, std::move(flags), "journal");
  if (!child.has_value()) return false;
  server_children_[shard] = *child;
  server_listens_[shard] = false;
  ++running_servers_;
  return true;
}

bool TrainRun::RestartWorker(int rank) {
  if (!worker_joined_[rank]) return false;  // it would end again
  const std::optional<size_t> child = StartAgain(absl::StrCat("worker ", rank), binaries_.worker,
                                                 WorkerFlags(options_, rank, server_addresses_), "checkpoint");
  if (!child.has_value()) return false;
  worker_children_[rank] = *child;
  worker_joined_[rank] = false;
  ++running_workers_;
  return true;
}

std::optional<size_t> TrainRun::StartAgain(const std::string& name, const std::string& program,
                                           std::vector<std::string> flags, const std::string& from) {
  flags.insert(flags.begin(), program);
  const std::string log = absl::StrCat(LogFolder(options_), "/restart-", ++restarts_, "-", LogName(name));
  const absl::StatusOr<size_t> child = supervisor_->Start({name, std::move(flags), log});
  if (!child.ok()) return std::nullopt;
  progress_->Print(absl::StrCat(name, " was killed; it goes on from its ", from, " (log: ", log, ")"));
  return *child;
}

void TrainRun::Restore() {
  std::ifstream file(EventsPath(options_));
  for (std::string line; std::getline(file, line);) {
    // The last line may be torn.
    const absl::StatusOr<WorkerEvent> event = ParseWorkerEvent(line);
    if (event.ok()) history_.Add(*event).IgnoreError();
  }
}

void TrainRun::Remember(const WorkerEvent& event, const std::string& line) {
  if (std::holds_alternative<EpochEvent>(event)) events_ << line << std::endl;
}

TrainRun::End TrainRun::ChildFailed(const ChildProcess& child) const {
  const int status = child.wait_status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == kExitBadInput) {
    // The child has said in one line what was wrong with its input, which came from ours.
    const std::vector<std::string> words = LastLines(child.log_path(), 1);
    return {RunState::kFailed, kExitBadInput,
            absl::StrCat(child.name(), ": ", words.empty() ? "bad input" : WithoutProgramName(words[0]),
                         " (log: ", child.log_path(), ")")};
  }
  const bool too_early = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return {RunState::kFailed, kExitFailure,
          absl::StrCat(child.name(), too_early ? " ended before the training was over, with " : " failed with ",
                       DescribeWaitStatus(status), "; ", LastWords(child))};
}

void TrainRun::ShowNewEpochs() {
  if (shown_epochs_ == history_.epochs().size()) return;
  for (; shown_epochs_ < history_.epochs().size(); ++shown_epochs_) {
    progress_->Print(EpochLine(options_, history_.epochs()[shown_epochs_]));
  }
  if (absl::Status status = Save({RunState::kRunning, 0, ""}); !status.ok()) {
    spdlog::warn("event=report_not_written reason=\"{}\"", std::string(status.message()));
  }
}

absl::Status TrainRun::Save(const End& end) const {
  const RunOutcome outcome = {end.state, end.error,   weights_crc32c_,          servers_version_,
                              result_,   started_at_, absl::Now() - started_at_};
  absl::Status status = ReplaceFile(ReportPath(options_), ReportJson(options_, history_, outcome));
  if (status.ok() && !history_.epochs().empty()) {
    status = ReplaceFile(PlotPath(options_), PlotSvg(options_, history_));
  }
  return status;
}

void TrainRun::PrintSummary() const {
  progress_->Print("");
  for (const std::string& line : SummaryLines(options_, history_, weights_crc32c_, absl::Now() - started_at_)) {
    progress_->Print(line);
  }
  for (const std::string& note : result_.notes) progress_->Print(absl::StrCat("note      ", note));
  progress_->Print(absl::StrCat("report    ", ReportPath(options_)));
  progress_->Print(absl::StrCat("plot      ", PlotPath(options_)));
  progress_->Print(absl::StrCat("model     ", ModelPath(options_)));
}

}  // namespace cddp::ctl
