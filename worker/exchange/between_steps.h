// What changes a worker's replica outside of gradient steps: the initial weights, joining a running training, and
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

// All must outlive the call but the mailbox, which calls to the cluster share. The driver is between two steps.
struct ExchangeParts {
  const ParameterLayout& layout;
  BucketEngine& engine;
  Cluster& cluster;
  const std::shared_ptr<ExchangeMailbox>& mailbox;
  StepDriver& driver;
};

// Step 0 initialises the servers: `is_source` gives its weights, the others contribute zero, and all receive the sum.
absl::Status InitialiseWeights(const ExchangeParts& parts, bool is_source);

// Sets weights, versions and step to what the servers have published; buckets may be a version apart.
absl::Status TakeSnapshot(const ExchangeParts& parts);

// Brings all buckets to the newest version of any, by empty contributions to those that are behind.
absl::Status RollForward(const ExchangeParts& parts);

}  // namespace cddp

#endif  // WORKER_EXCHANGE_BETWEEN_STEPS_H_
