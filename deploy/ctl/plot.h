// report.svg: one run at a glance.

#ifndef DEPLOY_CTL_PLOT_H_
#define DEPLOY_CTL_PLOT_H_

#include <string>

#include "deploy/ctl/cluster_plan.h"
#include "deploy/ctl/train_history.h"

namespace cddp::ctl {

// Left: test accuracy and training loss over the epochs. Right: the parts of a step's time, epoch by epoch, and the
// bytes of a step against dense. Epochs that are not complete yet are left empty.
std::string PlotSvg(const TrainOptions& options, const TrainHistory& history);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_PLOT_H_
