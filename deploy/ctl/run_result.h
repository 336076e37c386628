// Judges whether a run's result is what was asked for. It may not be, although all processes ended well.

#ifndef DEPLOY_CTL_RUN_RESULT_H_
#define DEPLOY_CTL_RUN_RESULT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/train_history.h"

namespace cddp::ctl {

struct RunResult {
  std::vector<std::string> problems;  // if any, the run failed
  std::vector<std::string> notes;     // of a run that did not fail: missing or unknown facts
};

// Judges a run whose workers have all ended. `servers_version`: the version that all servers reported at the end: 0
// before the initial weights, so it is one more than the rounds trained; nullopt if they did not answer.
RunResult JudgeRun(const TrainOptions& options, const TrainHistory& history, std::optional<uint64_t> servers_version);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_RESULT_H_
