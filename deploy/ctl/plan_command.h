// cddp plan: how fast a cluster would train, before it is built.

#ifndef DEPLOY_CTL_PLAN_COMMAND_H_
#define DEPLOY_CTL_PLAN_COMMAND_H_

namespace cddp::ctl {

int RunPlanCommand(int argc, char** argv);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_PLAN_COMMAND_H_
