// Is what a run has left what was asked for? All processes may have ended well, and it is not.

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
  std::vector<std::string> problems;  // any: the run failed
  std::vector<std::string> notes;     // what is missing, or not known, of a run that did not
};

// Judges a run whose workers have all ended. `servers_version`: the version of all servers as they told it in the end,
// 0 before the initial weights, so that it is one more than the rounds trained; empty: they did not answer.
RunResult JudgeRun(const TrainOptions& options, const TrainHistory& history, std::optional<uint64_t> servers_version);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_RESULT_H_
