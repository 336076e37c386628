// Errors of a job that can be found before any process is started.

#ifndef DEPLOY_CTL_JOB_CHECK_H_
#define DEPLOY_CTL_JOB_CHECK_H_

#include "absl/status/status.h"
#include "deploy/ctl/cluster_plan.h"

namespace cddp::ctl {

// InvalidArgument if no worker knows the model, the data set's files are missing or of another kind, or a step needs
// more examples than there are. The workers check this and the files' content, too; but that takes seconds, and their
// message is longer, since it comes through several processes.
absl::Status CheckJob(const TrainOptions& options);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_JOB_CHECK_H_
