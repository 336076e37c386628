// `cddp status`: shows the state of a running cluster.

#ifndef DEPLOY_CTL_STATUS_COMMAND_H_
#define DEPLOY_CTL_STATUS_COMMAND_H_

namespace cddp::ctl {

// argv[0] is "status". Returns the exit code.
int RunStatusCommand(int argc, char** argv);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_STATUS_COMMAND_H_
