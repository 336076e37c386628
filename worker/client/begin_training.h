// The part between joining and the first step that all workers share, regardless of what computes their gradients.

#ifndef WORKER_CLIENT_BEGIN_TRAINING_H_
#define WORKER_CLIENT_BEGIN_TRAINING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/config/steps_choice.h"
#include "worker/exchange/cluster.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {

// Error feedback commutes with linear steps only: an Adam at the servers would lose what waits in residuals.
// InvalidArgument if the servers have Adam and workers push only a part: `ratio`, as the user gave it, is not "1".
absl::Status CheckServersTakePart(absl::string_view server_settings, absl::string_view ratio);

// For workers that push differences of weights: InvalidArgument unless the servers average (SGD with rate 1 and no
// momentum, or with Nesterov's).
absl::Status CheckServersAverage(absl::string_view server_settings);

// Would the servers' rounds do for options that need all workers at one version? InvalidArgument if not.
absl::Status CheckConsistency(const StepsChoice& local_steps, uint32_t overlap, const Cluster& cluster);

// Sets `weights` to those of all workers: rank 0's (`is_source`) in a new training, else the published ones.
absl::Status TakeFirstWeights(const Cluster& cluster, GradientExchange* exchange, absl::Span<float> weights,
                              bool is_source);

}  // namespace cddp

#endif  // WORKER_CLIENT_BEGIN_TRAINING_H_
