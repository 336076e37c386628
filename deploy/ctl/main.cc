// cddp: the command-line tool for Compressed-DDP clusters.

#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "common/config/command_line.h"
#include "common/config/logging.h"
#include "common/config/similar_name.h"
#include "common/config/version.h"
#include "deploy/ctl/checkpoint_command.h"
#include "deploy/ctl/plan_command.h"
#include "deploy/ctl/report_command.h"
#include "deploy/ctl/run_command.h"
#include "deploy/ctl/status_command.h"
#include "deploy/ctl/train_command.h"

namespace {

struct Command {
  const char* name;
  const char* summary;
  const char* example;
  int (*run)(int argc, char** argv);  // argv[0] is the command's name
};

constexpr Command kCommands[] = {
    {"train", "train a model on a cluster of processes on this machine", "cddp train --epochs=5 --ratio=0.01",
     cddp::ctl::RunTrainCommand},
    {"run", "run a program of yours, such as a PyTorch script, as the workers of a cluster",
     "cddp run --workers=4 --servers=2 -- python3 train.py", cddp::ctl::RunRunCommand},
    {"status", "show what a running cluster is doing", "cddp status --servers=127.0.0.1:50051 --watch",
     cddp::ctl::RunStatusCommand},
    {"checkpoint", "keep a running cluster's state at one version, and export its model",
     "cddp checkpoint --servers=127.0.0.1:50051 --export_to=model.safetensors", cddp::ctl::RunCheckpointCommand},
    {"report", "compare runs on one page of HTML", "cddp report runs/dense runs/compressed --html=comparison.html",
     cddp::ctl::RunReportCommand},
    {"plan", "predict how fast a cluster would train", "cddp plan --parameters=25557032 --workers=8 --rate=1gbit",
     cddp::ctl::RunPlanCommand},
};

std::string Usage() {
  std::string text = "cddp: data-parallel training that sends one percent of the gradient\n\n";
  for (const Command& command : kCommands) {
    absl::StrAppend(&text,
                    absl::StrFormat("  %-12s%s\n              %s\n", command.name, command.summary, command.example));
  }
  absl::StrAppend(&text,
                  "  help        show this text\n  --version   show the release and the commit\n\ncddp COMMAND --help "
                  "lists the command's flags.\n");
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  cddp::AnswerVersion("cddp", argc, argv);
  if (argc < 2) {
    std::fputs(Usage().c_str(), stderr);
    return cddp::kExitBadInput;
  }
  const absl::string_view name = argv[1];
  if (name == "help" || name == "--help" || name == "-h") {
    std::fputs(Usage().c_str(), stdout);
    return 0;
  }
  cddp::InitLogging();
  for (const Command& command : kCommands) {
    if (name == command.name) return command.run(argc - 1, argv + 1);
  }
  std::vector<std::string> known;
  for (const Command& command : kCommands) known.push_back(command.name);
  const std::string meant = cddp::SimilarName(name, known);
  return cddp::ReportError(absl::InvalidArgumentError(
      absl::StrCat("unknown command '", name, "'", meant.empty() ? "" : absl::StrCat("; did you mean ", meant, "?"),
                   " (cddp help lists the commands)")));
}
