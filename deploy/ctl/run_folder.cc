#include "deploy/ctl/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/files/durable_file.h"

namespace cddp::ctl {
namespace {

namespace fs = std::filesystem;

absl::Status CannotWrite(const std::string& folder, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("--output: cannot write to '", folder, "': ", reason));
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Whether a name is "prefix-12.suffix", with any number.
bool IsNumbered(absl::string_view name, absl::string_view prefix, absl::string_view suffix) {
  uint32_t number;
  return absl::ConsumePrefix(&name, prefix) && absl::ConsumeSuffix(&name, suffix) && absl::SimpleAtoi(name, &number);
}

bool IsState(const std::string& name) { return name == "checkpoints" || IsNumbered(name, "state-", ""); }

bool IsOfARun(const std::string& name) {
  for (const char* known : {"report.json", "report.svg", "model.pt", "flags", "events.jsonl", "logs"}) {
    if (name == known) return true;
  }
  return IsState(name) || IsNumbered(name, "trace-", ".json") || IsNumbered(name, "logs-", "");
}

// What a new run here would destroy; empty: nothing. The other files count as ours only if a report of ours is there.
std::string Treasure(const TrainOptions& options, const std::vector<fs::path>& files) {
  if (files.empty()) return "";
  for (const fs::path& file : files) {
    if (IsState(file.filename())) return absl::StrCat("holds the state of another run (", file.string(), ")");
  }
  const auto report = nlohmann::json::parse(ReadAll(ReportPath(options)), nullptr, /*allow_exceptions=*/false);
  const auto state = report.is_object() ? report.find("state") : report.end();
  if (!report.is_object() || state == report.end()) {
    return absl::StrCat("holds ", files.front().string(), ", and no report of a run that it belongs to");
  }
  return *state == "finished" ? "holds the result of another run" : "";
}

}  // namespace

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder, bool make) {
  std::error_code error;
  if (make) fs::create_directories(folder, error);
  if (error) return CannotWrite(folder, error.message());
  const std::string path = absl::StrCat(folder, "/lock");
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return CannotWrite(folder, std::strerror(errno));
  FolderLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return CannotWrite(folder, absl::StrCat("no lock on ", path, ": ", std::strerror(errno)));
    const std::string holder(absl::StripAsciiWhitespace(ReadAll(path)));
    return absl::InvalidArgumentError(absl::StrCat("--output=", folder, " is in use by another cddp",
                                                   holder.empty() ? "" : absl::StrCat(", process ", holder),
                                                   ": wait for its end, or choose another folder"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || write(fd, pid.data(), pid.size()) != static_cast<ssize_t>(pid.size())) {
    return CannotWrite(folder, std::strerror(errno));
  }
  return lock;
}

FolderLock::FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

std::string NewRunFolder(const std::string& name) {
  const std::string base =
      absl::StrCat("runs/", absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()), "-", name);
  std::error_code error;
  fs::create_directories("runs", error);
  std::string folder = base;
  for (int attempt = 2; !fs::create_directory(folder, error) && !error; ++attempt) {
    folder = absl::StrCat(base, "-", attempt);
  }
  return folder;
}

absl::Status ClearRunFolder(const TrainOptions& options, bool overwrite) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(options.output, error), end; !error && entry != end; entry.increment(error)) {
    if (IsOfARun(entry->path().filename())) files.push_back(entry->path());
  }
  if (!error && !overwrite) {
    if (const std::string treasure = Treasure(options, files); !treasure.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("--output=", options.output, " ", treasure,
                                                     ": choose another folder, go on with a durable run with --resume, "
                                                     "or give --overwrite to lose it"));
    }
  }
  for (const fs::path& file : files) {
    if (!error) fs::remove_all(file, error);
  }
  return error ? CannotWrite(options.output, error.message()) : absl::OkStatus();
}

absl::Status CheckOutputs(const TrainOptions& options) {
  std::vector<std::string> outputs = {ReportPath(options), PlotPath(options), ModelPath(options)};
  if (options.durable) outputs.insert(outputs.end(), {FlagsPath(options), EventsPath(options)});
  for (int rank = 0; options.trace && rank < options.workers; ++rank) outputs.push_back(TracePath(options, rank));
  for (const std::string& output : outputs) {
    absl::Status status = CheckReplaceable(output);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("--output: ", status.message()));
  }
  std::error_code error;
  fs::create_directories(LogFolder(options), error);
  return error ? CannotWrite(LogFolder(options), error.message()) : absl::OkStatus();
}

absl::StatusOr<std::string> RunNameOf(const TrainOptions& options) {
  const auto report = nlohmann::json::parse(ReadAll(ReportPath(options)), nullptr, /*allow_exceptions=*/false);
  const auto run = report.is_object() ? report.find("run") : report.end();
  if (report.is_object() && run != report.end() && run->is_string()) return run->get<std::string>();
  return absl::InvalidArgumentError(absl::StrCat("--resume: ", ReportPath(options),
                                                 " does not tell which run this is: is it another folder, or one of an "
                                                 "earlier release?"));
}

absl::Status SetOldLogsAside(const TrainOptions& options) {
  std::error_code error;
  if (!fs::exists(LogFolder(options), error)) return absl::OkStatus();
  int life = 1;
  while (fs::exists(absl::StrCat(LogFolder(options), "-", life), error)) ++life;
  fs::rename(LogFolder(options), absl::StrCat(LogFolder(options), "-", life), error);
  return error ? CannotWrite(LogFolder(options), error.message()) : absl::OkStatus();
}

}  // namespace cddp::ctl
