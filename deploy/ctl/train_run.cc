#include "deploy/ctl/train_run.h"

#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/clock/steady_time.h"
#include "common/config/command_line.h"
#include "common/files/durable_file.h"
#include "deploy/ctl/plot.h"
#include "deploy/ctl/train_text.h"
#include "deploy/ctl/worker_events.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kStatusTimeout = absl::Seconds(2);

}  // namespace

TrainRun::TrainRun(const TrainOptions& options, const Binaries& binaries, Progress* progress)
    : options_(options),
      binaries_(binaries),
      progress_(progress),
      started_at_(SteadyNow()),
      plan_(Plan()),
      launcher_(&plan_, this, progress),
      worker_joined_(options.workers),
      history_(options.workers) {}

LaunchPlan TrainRun::Plan() {
  const auto command = [](const std::string& program, std::vector<std::string> flags) {
    flags.insert(flags.begin(), program);
    return flags;
  };
  LaunchPlan plan;
  plan.servers = options_.servers;
  plan.workers = options_.workers;
  plan.durable = options_.durable;
  plan.log_folder = LogFolder(options_);
  plan.left_behind = absl::StrCat("logs and the report so far are in ", options_.output);
  plan.server = [this, command](int shard) { return command(binaries_.server, ServerFlags(options_, shard)); };
  plan.worker = [this, command](int worker, const std::vector<std::string>& addresses) -> WorkerCommand {
    return {.argv = command(binaries_.worker, WorkerFlags(options_, worker, addresses)), .environment = {}};
  };
  return plan;
}

int TrainRun::Run() {
  progress_->Print(DescribeJob(options_));
  if (options_.resume) Restore();
  if (options_.durable) events_.open(EventsPath(options_), std::ios::app);
  if (options_.resume) events_ << std::endl;  // ends a line that may be torn
  // Write the report first: with a report in the folder, its other files are known to be a run's.
  if (absl::Status saved = Save({RunState::kRunning, 0, ""}); !saved.ok()) return ReportError(saved);
  if (absl::Status prepared = launcher_.Prepare(); !prepared.ok()) return ReportError(prepared);

  RunEnd end = launcher_.Drive([this] { servers_version_ = ServersVersion(); });
  if (end.state == RunState::kFinished) end = Judge();
  progress_->Clear();
  launcher_.EndAll(end, KeepsState());
  if (absl::Status saved = Save(end); !saved.ok() && end.exit_code == 0) {
    end = {RunState::kFailed, kExitFailure, std::string(saved.message())};
  }
  if (!end.error.empty()) std::fprintf(stderr, "cddp: %s\n", end.error.c_str());
  if (!weights_crc32c_.empty() && !history_.epochs().empty()) PrintSummary();
  return end.exit_code;
}

bool TrainRun::KeepsState() const { return options_.durable || options_.trace; }

RunEnd TrainRun::Judge() {
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
  std::optional<uint64_t> version;
  for (const ServerStatus& server : launcher_.Query(kStatusTimeout)) {
    if (!server.response.ok()) return std::nullopt;
    version = std::min(version.value_or(server.response->min_version()), server.response->min_version());
  }
  return version;
}

void TrainRun::WorkerSaid(int worker, const std::string& line) {
  launcher_.NoteProgress();
  absl::StatusOr<WorkerEvent> event = ParseWorkerEvent(line);
  absl::Status status = event.status();
  if (status.ok()) status = history_.Add(*event);
  if (!status.ok()) {
    // Libraries print, too; an unreadable line must not end a training.
    progress_->Clear();
    spdlog::warn("event=unreadable_line child=\"worker {}\" reason=\"{}\" line=\"{}\"", worker,
                 std::string(status.message()), line.substr(0, 200));
    return;
  }
  if (std::holds_alternative<JoinedEvent>(*event)) worker_joined_[worker] = true;
  if (options_.durable) Remember(*event, line);
  if (std::holds_alternative<JoinedEvent>(*event) && !model_shown_) {
    model_shown_ = true;
    progress_->Print(DescribeModel(*history_.model()));
  }
  ShowNewEpochs();
  if (const auto* step = std::get_if<StepEvent>(&*event); step != nullptr && step->rank == 0) {
    progress_->Redraw(StepParts(options_, history_));
  }
}

bool TrainRun::EndedWell(int worker, const ChildProcess& child) {
  const int status = child.wait_status();
  if (!WIFEXITED(status) || !history_.done(worker)) return false;
  if (WEXITSTATUS(status) == 0) return true;
  if (WEXITSTATUS(status) != kExitFailure) return false;
  // It has completed its training and reports what is wrong with the result. The others may still have to save theirs.
  const std::string word = LastWord(child);
  if (worker_problem_.empty()) {
    worker_problem_ = absl::StrCat("worker ", worker, ": ", word.empty() ? "failed" : word);
  }
  return true;
}

bool TrainRun::CanGoOn(int worker) {
  // A worker that ended before it had joined would end again.
  const bool joined = worker_joined_[worker];
  worker_joined_[worker] = false;
  return joined;
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

void TrainRun::ShowNewEpochs() {
  if (shown_epochs_ == history_.epochs().size()) return;
  for (; shown_epochs_ < history_.epochs().size(); ++shown_epochs_) {
    progress_->Print(EpochLine(options_, history_.epochs()[shown_epochs_]));
  }
  if (absl::Status status = Save({RunState::kRunning, 0, ""}); !status.ok()) {
    spdlog::warn("event=report_not_written reason=\"{}\"", std::string(status.message()));
  }
}

absl::Status TrainRun::Save(const RunEnd& end) const {
  const RunOutcome outcome = {end.state, end.error,   weights_crc32c_,          servers_version_,
                              result_,   started_at_, SteadyNow() - started_at_};
  absl::Status status = ReplaceFile(ReportPath(options_), ReportJson(options_, history_, outcome));
  if (status.ok() && !history_.epochs().empty()) {
    status = ReplaceFile(PlotPath(options_), PlotSvg(options_, history_));
  }
  return status;
}

void TrainRun::PrintSummary() const {
  progress_->Print("");
  for (const std::string& line : SummaryLines(options_, history_, weights_crc32c_, SteadyNow() - started_at_)) {
    progress_->Print(line);
  }
  for (const std::string& note : result_.notes) progress_->Print(absl::StrCat("note      ", note));
  progress_->Print(absl::StrCat("report    ", ReportPath(options_)));
  progress_->Print(absl::StrCat("plot      ", PlotPath(options_)));
  progress_->Print(absl::StrCat("model     ", ModelPath(options_)));
}

}  // namespace cddp::ctl
