// The state of a worker's exchange between two steps, except the weights, for a checkpoint.

#ifndef WORKER_EXCHANGE_EXCHANGE_STATE_H_
#define WORKER_EXCHANGE_EXCHANGE_STATE_H_

#include <cstdint>
#include <vector>

#include "worker/exchange/bucket_engine.h"

namespace cddp {

struct ExchangeState {
  uint64_t step = 0;               // the coming one
  std::vector<uint64_t> versions;  // of the replica, by bucket
  BucketEngineState engine;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_EXCHANGE_STATE_H_
