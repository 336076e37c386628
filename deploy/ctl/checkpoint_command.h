// cddp checkpoint: saves the state of a running cluster at one version, and exports a version's model.

#ifndef DEPLOY_CTL_CHECKPOINT_COMMAND_H_
#define DEPLOY_CTL_CHECKPOINT_COMMAND_H_

namespace cddp::ctl {

int RunCheckpointCommand(int argc, char** argv);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_CHECKPOINT_COMMAND_H_
