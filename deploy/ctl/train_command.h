// `cddp train`: a whole cluster on this machine trains a model.

#ifndef DEPLOY_CTL_TRAIN_COMMAND_H_
#define DEPLOY_CTL_TRAIN_COMMAND_H_

namespace cddp::ctl {

// argv[0] is "train". Returns the exit code.
int RunTrainCommand(int argc, char** argv);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_TRAIN_COMMAND_H_
