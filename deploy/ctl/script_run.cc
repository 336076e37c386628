#include "deploy/ctl/script_run.h"

#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/clock/steady_time.h"
#include "common/config/command_line.h"
#include "common/config/process.h"
#include "common/files/durable_file.h"
#include "deploy/ctl/format.h"

namespace cddp::ctl {
namespace {

constexpr absl::Duration kStatusTimeout = absl::Milliseconds(500);  // for the servers' answers; Ctrl-C waits for them
constexpr int kFruitlessLives = 3;  // in a row: another start would get no further either

std::string Count(size_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  return std::filesystem::absolute(path, error).lexically_normal().string();
}

// "[rank 0] " and the line as a terminal would show it after carriage returns.
std::string Shown(int rank, const std::string& line) {
  std::string text = line.substr(0, line.find_last_not_of('\r') + 1);
  if (const size_t drawn_over = text.rfind('\r'); drawn_over != std::string::npos) text.erase(0, drawn_over + 1);
  return absl::StrCat("[rank ", rank, "] ", text);
}

}  // namespace

std::vector<std::string> ScriptEnvironment(const ScriptOptions& options, int worker,
                                           const std::vector<std::string>& addresses) {
  std::vector<std::string> environment = {
      absl::StrCat("CDDP_SERVERS=", absl::StrJoin(addresses, ",")),
      absl::StrCat("RANK=", options.node_rank * options.local_workers + worker),
      absl::StrCat("WORLD_SIZE=", options.cluster.workers),
      absl::StrCat("LOCAL_RANK=", worker),
      absl::StrCat("LOCAL_WORLD_SIZE=", options.local_workers),
      absl::StrCat("CDDP_OUTPUT=", Absolute(options.cluster.output)),
  };
  // Variables without a value are set to empty, because those in our own environment belong to another run.
  const TrainOptions& cluster = options.cluster;
  environment.push_back(absl::StrCat("CDDP_RUN=", cluster.run));
  environment.push_back(
      absl::StrCat("CDDP_TENSORBOARD=", cluster.tensorboard.empty() ? "" : Absolute(cluster.tensorboard)));
  environment.push_back(absl::StrCat("CDDP_STATE=", cluster.durable ? Absolute(CheckpointPath(cluster)) : ""));
  for (const char* stronger : {"CDDP_RANK=", "CDDP_WORKERS="}) environment.emplace_back(stronger);  // than RANK
  // The user's own setting has precedence.
  const auto suggest = [&environment](const char* name, const std::string& value) {
    if (std::getenv(name) == nullptr) environment.push_back(absl::StrCat(name, "=", value));
  };
  // Otherwise Python buffers its output, so that it appears late.
  suggest("PYTHONUNBUFFERED", "1");
  // Otherwise each worker uses all cores.
  suggest("OMP_NUM_THREADS", absl::StrCat(options.cluster.threads));
  // Freed memory is kept, as by TuneProcess in cddp-worker. PyTorch allocates and frees the same large tensors in each
  // step, and getting their pages from the kernel again costs a third of a step.
  suggest("MALLOC_MMAP_THRESHOLD_", absl::StrCat(kMmapThreshold));
  suggest("MALLOC_TRIM_THRESHOLD_", absl::StrCat(kTrimThreshold));
  return environment;
}

ScriptRun::ScriptRun(const ScriptOptions& options, const std::string& server, Progress* progress)
    : options_(options),
      server_(server),
      progress_(progress),
      started_at_(SteadyNow()),
      plan_(Plan()),
      launcher_(&plan_, this, progress),
      fruitless_lives_(options.local_workers),
      step_at_death_(options.local_workers) {}

LaunchPlan ScriptRun::Plan() {
  LaunchPlan plan;
  plan.servers = options_.addresses.empty() ? options_.cluster.servers : 0;
  plan.addresses = options_.addresses;
  plan.workers = options_.local_workers;
  plan.first_rank = options_.node_rank * options_.local_workers;
  plan.durable = options_.cluster.durable;
  plan.log_folder = LogFolder(options_.cluster);
  plan.left_behind = absl::StrCat("the logs are in ", plan.log_folder);
  plan.worker_exit_codes = true;
  plan.server = [this](int shard) {
    std::vector<std::string> flags = ServerFlags(options_.cluster, shard);
    flags.insert(flags.begin(), server_);
    return flags;
  };
  plan.worker = [this](int worker, const std::vector<std::string>& addresses) -> WorkerCommand {
    return {options_.command, ScriptEnvironment(options_, worker, addresses),
            worker == 0 && options_.node_rank == 0 ? ChildOutput::kAllToPipe : ChildOutput::kAllToLog};
  };
  return plan;
}

int ScriptRun::Run() {
  progress_->Print(absl::StrCat(
      Count(options_.cluster.workers, "worker"),
      options_.local_workers == options_.cluster.workers ? ""
                                                         : absl::StrCat(", ", options_.local_workers, " of them here"),
      " and ", Count(options_.addresses.empty() ? options_.cluster.servers : options_.addresses.size(), "server"), ": ",
      absl::StrJoin(options_.command, " "), "; logs: ", plan_.log_folder));
  if (absl::Status saved = Save({RunState::kRunning, 0, ""}); !saved.ok()) return ReportError(saved);
  if (absl::Status prepared = launcher_.Prepare(); !prepared.ok()) return ReportError(prepared);

  bool exchanged = true;  // unless the servers say otherwise
  RunEnd end = launcher_.Drive([this, &exchanged] {
    std::optional<View> view = QueryView();
    if (!view.has_value()) return;
    view_ = *std::move(view);
    exchanged = view_.version > 0;
  });
  progress_->Clear();
  if (end.state == RunState::kFinished && !exchanged) {
    end = {RunState::kFailed, kExitFailure,
           "the workers ended well, but have exchanged nothing with the servers: does the program wrap its optimizer "
           "(docs/from-ddp.md)?"};
  }
  launcher_.EndAll(end, options_.cluster.durable);
  if (absl::Status saved = Save(end); !saved.ok() && end.exit_code == 0) {
    end = {RunState::kFailed, kExitFailure, std::string(saved.message())};
  }
  if (!end.error.empty()) std::fprintf(stderr, "cddp: %s\n", end.error.c_str());
  if (end.state == RunState::kFinished) PrintSummary();
  return end.exit_code;
}

void ScriptRun::WorkerSaid(int worker, const std::string& line) {
  progress_->Print(Shown(plan_.first_rank + worker, line));
}

bool ScriptRun::EndedWell(int worker, const ChildProcess& child) {
  const bool well = WIFEXITED(child.wait_status()) && WEXITSTATUS(child.wait_status()) == 0;
  if (well) ended_.insert(static_cast<uint32_t>(plan_.first_rank + worker));
  return well;
}

bool ScriptRun::CanGoOn(int worker) {
  if (const std::optional<View> view = QueryView()) view_ = *view;
  const auto step = view_.steps.find(plan_.first_rank + worker);
  if (step == view_.steps.end()) return false;  // a worker that ended before it had joined would end again
  const bool got_further = step->second > step_at_death_[worker];
  fruitless_lives_[worker] = got_further ? 0 : fruitless_lives_[worker] + 1;
  step_at_death_[worker] = step->second;
  return fruitless_lives_[worker] < kFruitlessLives;
}

std::optional<RunEnd> ScriptRun::NobodyWillCome() const {
  const std::vector<std::string>& flags = options_.cluster.server_flags;
  const bool may_begin_without = std::any_of(
      flags.begin(), flags.end(), [](absl::string_view flag) { return absl::StrContains(flag, "start_timeout"); });
  if (plan_.servers == 0 || may_begin_without || view_.waited_for.empty()) return std::nullopt;
  const bool all_ended = std::all_of(view_.waited_for.begin(), view_.waited_for.end(), [this](uint32_t rank) {
    return ended_.count(rank) > 0 && view_.steps.count(rank) == 0;
  });
  if (!all_ended) return std::nullopt;
  return RunEnd{
      RunState::kFailed, kExitFailure,
      absl::StrCat("the servers wait for rank ", absl::StrJoin(view_.waited_for, ", "),
                   ", whose program has ended well, but never took part: does it make a distributed optimizer "
                   "on every rank? (To begin without: --start_timeout and --min_workers)")};
}

std::optional<RunEnd> ScriptRun::Look() {
  std::optional<View> view = QueryView();
  if (!view.has_value()) return std::nullopt;
  if (view_.parameters == 0 && view->parameters > 0) {
    progress_->Print(absl::StrCat("the model has ", FormatCount(view->parameters), " parameters"));
  }
  if (view->version > 0 && !first_version_at_.has_value()) first_version_at_ = SteadyNow();
  if (view->version != view_.version || view->joined != view_.joined) launcher_.NoteProgress();
  view_ = *std::move(view);
  progress_->Redraw(ProgressParts(view_));
  return NobodyWillCome();
}

std::optional<ScriptRun::View> ScriptRun::QueryView() {
  View view;
  view.version = UINT64_MAX;
  std::map<uint32_t, double> losses;
  std::set<uint32_t> joined;
  for (const ServerStatus& server : launcher_.Query(kStatusTimeout)) {
    if (!server.response.ok()) return std::nullopt;
    const v1::StatusResponse& status = *server.response;
    if (options_.cluster.run.empty()) options_.cluster.run = status.run();
    view.version = std::min<uint64_t>(view.version, status.min_version());
    view.parameters = std::max<uint64_t>(view.parameters, status.parameters());
    view.pushed_bytes += status.received_bytes();
    view.pulled_bytes += status.sent_bytes();
    view.waited_for.insert(status.waiting_for().begin(), status.waiting_for().end());
    for (const v1::WorkerStatus& worker : status.workers()) {
      const uint32_t rank = worker.worker().rank();
      view.steps[rank] = std::max<uint64_t>(view.steps[rank], worker.step());
      if (worker.state() != v1::WorkerStatus::JOINED) continue;
      joined.insert(rank);
      if (std::isfinite(worker.loss()) && worker.loss() != 0) losses[rank] = worker.loss();
    }
  }
  view.joined = joined.size();
  for (const auto& [rank, loss] : losses) view.loss = view.loss.value_or(0) + loss / losses.size();
  return view;
}

std::vector<std::string> ScriptRun::ProgressParts(const View& view) const {
  if (view.version == 0) {
    return {absl::StrCat(view.joined, " of ", options_.cluster.workers, " workers take part; no exchange yet")};
  }
  std::vector<std::string> parts = {absl::StrCat("exchange ", FormatCount(view.version - 1)),
                                    absl::StrCat(view.joined, " of ", options_.cluster.workers, " workers")};
  if (view.loss.has_value()) parts.push_back(absl::StrFormat("loss %.4f", *view.loss));
  const double seconds = absl::ToDoubleSeconds(SteadyNow() - first_version_at_.value_or(SteadyNow()));
  if (seconds > 1) parts.push_back(absl::StrFormat("%.1f exchanges/s", (view.version - 1) / seconds));
  parts.push_back(absl::StrCat("push ", FormatBytes(static_cast<double>(view.pushed_bytes) / view.version), " pull ",
                               FormatBytes(static_cast<double>(view.pulled_bytes) / view.version), " an exchange"));
  return parts;
}

void ScriptRun::PrintSummary() const {
  std::string line = absl::StrCat("all workers are done after ", FormatElapsed(SteadyNow() - started_at_));
  if (view_.version > 0) {
    absl::StrAppend(&line, ": ", FormatCount(view_.version - 1), " exchanges, pushed ", FormatBytes(view_.pushed_bytes),
                    ", pulled ", FormatBytes(view_.pulled_bytes));
  }
  progress_->Print(line);
}

absl::Status ScriptRun::Save(const RunEnd& end) const {
  constexpr const char* kStates[] = {"running", "finished", "failed", "interrupted"};
  const nlohmann::ordered_json report = {
      {"state", kStates[static_cast<int>(end.state)]},
      {"run", options_.cluster.run},
      {"error", end.error},
      {"exit_code", end.exit_code},
      {"command", options_.command},
      {"workers", options_.cluster.workers},
      {"servers", options_.addresses.empty() ? options_.cluster.servers : options_.addresses.size()},
      {"seconds", absl::ToDoubleSeconds(SteadyNow() - started_at_)},
      {"parameters", view_.parameters},
      {"version", view_.version},
      {"pushed_bytes", view_.pushed_bytes},
      {"pulled_bytes", view_.pulled_bytes},
  };
  return ReplaceFile(ReportPath(options_.cluster),
                     absl::StrCat(report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace), "\n"));
}

}  // namespace cddp::ctl
