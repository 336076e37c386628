// What is wrong with a job and can be known before any process is started.

#ifndef DEPLOY_CTL_JOB_CHECK_H_
#define DEPLOY_CTL_JOB_CHECK_H_

#include "absl/status/status.h"
#include "deploy/ctl/cluster_plan.h"

namespace cddp::ctl {

// InvalidArgument if no worker knows the model, the data set's files are missing or of another kind, or a step needs
// more examples than there are. The workers check the same, and the files' content; but that takes seconds, and a
// message that came through several processes is longer.
absl::Status CheckJob(const TrainOptions& options);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_JOB_CHECK_H_
