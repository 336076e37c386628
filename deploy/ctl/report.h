// report.json: everything about one run that a script may need.

#ifndef DEPLOY_CTL_REPORT_H_
#define DEPLOY_CTL_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/run_end.h"
#include "deploy/ctl/run_result.h"
#include "deploy/ctl/train_history.h"

namespace cddp::ctl {

struct RunOutcome {
  RunState state = RunState::kRunning;
  std::string error;                        // of a failed run: the reason
  std::string weights_crc32c;               // of a finished run
  std::optional<uint64_t> servers_version;  // at the end, as the servers reported it
  RunResult result;
  absl::Time started_at;
  absl::Duration total;  // so far
};

// The text of report.json; members are documented in report.cc, in their order. It has the same shape in all states:
// values not known yet are null, or missing from the list of epochs.
std::string ReportJson(const TrainOptions& options, const TrainHistory& history, const RunOutcome& outcome);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_REPORT_H_
