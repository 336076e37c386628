// `cddp run`: the user's own program as the workers of a cluster.

#ifndef DEPLOY_CTL_RUN_COMMAND_H_
#define DEPLOY_CTL_RUN_COMMAND_H_

namespace cddp::ctl {

// argv[0] is "run". Returns the exit code.
int RunRunCommand(int argc, char** argv);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_RUN_COMMAND_H_
