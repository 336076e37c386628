#include "deploy/ctl/report_command.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/config/command_line.h"
#include "common/files/durable_file.h"
#include "deploy/ctl/command_flags.h"
#include "deploy/ctl/report_page.h"
#include "deploy/ctl/run_record.h"

ABSL_FLAG(std::string, html, "report.html", "file for the page");

namespace cddp::ctl {
namespace {

constexpr char kReportUsage[] =
    "cddp report: compares runs on one self-contained page of HTML.\n\n"
    "  cddp report runs/dense runs/compressed --html=comparison.html\n\n"
    "A run is the folder that cddp train or cddp run was given with --output. Runs may still be running.";

const FlagScope& ReportScope() {
  static const auto& scope = *new FlagScope{{"deploy/ctl/report_command.cc"}};
  return scope;
}

// Folders with equal names are distinguished by their paths.
void TellApart(const std::vector<std::string>& folders, std::vector<RunRecord>* runs) {
  std::vector<std::string> names;
  for (const RunRecord& run : *runs) names.push_back(run.name);
  for (size_t i = 0; i < runs->size(); ++i) {
    if (std::count(names.begin(), names.end(), names[i]) > 1) (*runs)[i].name = folders[i];
  }
}

absl::Status WritePage(const std::vector<std::string>& folders) {
  if (folders.empty()) {
    return absl::InvalidArgumentError("which runs? Name their folders: cddp report runs/a runs/b");
  }
  std::vector<RunRecord> runs;
  for (const std::string& folder : folders) {
    absl::StatusOr<RunRecord> run = ReadRun(folder);
    if (!run.ok()) return run.status();
    runs.push_back(*std::move(run));
  }
  TellApart(folders, &runs);
  const std::string path = absl::GetFlag(FLAGS_html);
  if (absl::Status status = CheckReplaceable(path); !status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--html=", status.message()));
  }
  if (absl::Status status = ReplaceFile(path, ReportPage(runs)); !status.ok()) return status;
  std::printf("%s\n", path.c_str());
  return absl::OkStatus();
}

}  // namespace

int RunReportCommand(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  for (const std::string& arg : args) {
    if (arg == "--help" || arg == "-help" || arg == "-h")
      ParseCommandFlagsOrExit(argc, argv, kReportUsage, ReportScope());
  }
  const absl::StatusOr<std::vector<std::string>> folders = ParseCommandLine(args, &ReportScope());
  const absl::Status status = folders.ok() ? WritePage(*folders) : folders.status();
  return status.ok() ? 0 : ReportError(status);
}

}  // namespace cddp::ctl
