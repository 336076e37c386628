// Changes of a worker's replica outside of gradient steps: the initial weights, joining a running training, and
// rolling buckets forward to one version. Each is called on the exchange's thread and waits until it is done.

#ifndef WORKER_EXCHANGE_BETWEEN_STEPS_H_
#define WORKER_EXCHANGE_BETWEEN_STEPS_H_

#include <memory>

#include "absl/status/status.h"
#include "common/layout/parameter_layout.h"
#include "worker/exchange/bucket_engine.h"
#include "worker/exchange/cluster.h"
#include "worker/exchange/exchange_mailbox.h"
#include "worker/exchange/step_driver.h"

namespace cddp {

// All must outlive the call, except the mailbox, which calls to the cluster share. The driver must be between steps.
struct ExchangeParts {
  const ParameterLayout& layout;
  BucketEngine& engine;
  Cluster& cluster;
  const std::shared_ptr<ExchangeMailbox>& mailbox;
  StepDriver& driver;
};

// Step 0 initialises the servers: `is_source` gives its weights, the others contribute zero, and all receive the sum.
absl::Status InitialiseWeights(const ExchangeParts& parts, bool is_source);

// Joins a running training: sets weights, versions and step to the published ones, and takes part from then on; buckets
// may be a version apart. The other workers continue meanwhile, so it reads their changes repeatedly, until a read
// takes no longer than a step, or does not get shorter by a quarter: then this worker's network cannot keep pace.
absl::Status CatchUpWithOthers(const ExchangeParts& parts);

// Brings all buckets to the newest version of any, by empty contributions to those that are behind.
absl::Status RollForward(const ExchangeParts& parts);

}  // namespace cddp

#endif  // WORKER_EXCHANGE_BETWEEN_STEPS_H_
