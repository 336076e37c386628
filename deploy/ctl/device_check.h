// --device, before any process of a run is started.

#ifndef DEPLOY_CTL_DEVICE_CHECK_H_
#define DEPLOY_CTL_DEVICE_CHECK_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace cddp::ctl {

// Asks the program cddp-worker at this path, which knows GPUs, what these of its flags mean on this machine: "cuda:0
// (why)". The first one is --device.
// InvalidArgument, in its words, if the device cannot be used; Internal if it does not answer within a minute. By the
// main thread.
absl::StatusOr<std::string> CheckDevice(const std::string& worker, const std::vector<std::string>& flags);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_DEVICE_CHECK_H_
