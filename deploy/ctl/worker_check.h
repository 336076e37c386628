// Questions that only a worker program can answer, asked before any process of a run is started.

#ifndef DEPLOY_CTL_WORKER_CHECK_H_
#define DEPLOY_CTL_WORKER_CHECK_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Asks the program cddp-worker at this path, which knows GPUs and TorchScript: `question` is --check_device, or
// --check_model, with the flags to check. Returns the answer's last line. InvalidArgument, with the worker's message,
// if the run is impossible; Internal if it does not answer within some minutes. Call it in the main thread.
absl::StatusOr<std::string> AskWorker(const std::string& worker, absl::string_view question,
                                      const std::vector<std::string>& flags);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_WORKER_CHECK_H_
