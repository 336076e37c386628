// Decides which updates share a call. A call costs tens of microseconds at both ends, as much as summing some thousand
// elements, so updates that are ready together share one, as long as that pays (common/transport/call_size.h). None
// waits for another to become ready.

#ifndef WORKER_EXCHANGE_PUSH_BATCH_H_
#define WORKER_EXCHANGE_PUSH_BATCH_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "common/layout/parameter_layout.h"
#include "common/transport/call_size.h"
#include "common/transport/exchange_message.h"
#include "common/transport/protocol.h"

namespace cddp {

// Updates of buckets of one server, in the order in which they came. Not thread-safe.
class PushBatch {
 public:
  // Whether the update of a bucket of `length` elements at `server` may join the batch.
  bool Takes(uint32_t server, const Push& push, uint64_t length) const {
    if (pushes_.empty()) return true;
    return server == server_ && pushes_.size() < kMostPushes && bytes_ + push.update.size() <= full_bytes_ &&
           elements_ + length <= ParameterLayout::kMaxBucketElements;  // or the answers might not fit a message
  }

  void Add(uint32_t server, Push push, uint64_t length) {
    server_ = server;
    bytes_ += push.update.size();
    elements_ += length;
    pushes_.push_back(std::move(push));
  }

  // Bytes of updates in a call of more than one; kLeastCallBytes to begin with.
  void set_full_bytes(uint64_t bytes) { full_bytes_ = bytes; }

  bool empty() const { return pushes_.empty(); }

  std::vector<Push> Take() {
    bytes_ = elements_ = 0;
    return std::exchange(pushes_, {});
  }

 private:
  std::vector<Push> pushes_;
  uint64_t full_bytes_ = kLeastCallBytes;
  uint32_t server_ = 0;
  uint64_t bytes_ = 0;
  uint64_t elements_ = 0;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_PUSH_BATCH_H_
