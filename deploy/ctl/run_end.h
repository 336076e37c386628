// How a run of several processes ended.

#ifndef DEPLOY_CTL_RUN_END_H_
#define DEPLOY_CTL_RUN_END_H_

#include <string>

namespace cddp::ctl {

enum class RunState { kRunning, kFinished, kFailed, kInterrupted };

struct RunEnd {
  RunState state = RunState::kFinished;
  int exit_code = 0;
  std::string error;  // for people; may have several lines
};

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_END_H_
