// The server or workers that a cluster waits for, in one line.

#ifndef DEPLOY_CTL_WAITING_H_
#define DEPLOY_CTL_WAITING_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "deploy/ctl/status_client.h"

namespace cddp::ctl {

// "no step for 12 s: server 1 does not answer", or "...: the servers wait for worker 2, for 11 s", from the answers
// of the servers, in the order of their shards.
std::string DescribeWaiting(const std::vector<ServerStatus>& servers, absl::Duration quiet);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_WAITING_H_
