// Exchange calls under way, from the first try to the answer, with retries while a server is out of reach or busy.

#ifndef WORKER_CLUSTER_EXCHANGE_CALLS_H_
#define WORKER_CLUSTER_EXCHANGE_CALLS_H_

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "common/transport/exchange_message.h"
#include "worker/cluster/server_connection.h"
#include "worker/exchange/cluster.h"

namespace cddp {

// Thread-safe.
class ExchangeCalls {
 public:
  // `patience`: how long a server may be out of reach. `seed` differs between workers, so that they do not all try at
  // the same moment.
  ExchangeCalls(absl::Duration patience, uint64_t seed) : patience_(patience), seed_(seed) {}

  // Cancels the calls under way: their callbacks run before this returns.
  ~ExchangeCalls();

  // Makes one call; see Cluster::Exchange. `server` must outlive it. request.pushes must not be empty.
  void Start(ServerConnection* server, const PushRequest& request, Cluster::Answered done);

  // The number of retries.
  uint64_t retries() const { return retries_.load(std::memory_order_relaxed); }

 private:
  struct Call;

  void Send(Call* call);
  // Sends after a pause; returns false and does nothing once the destructor has begun.
  bool SendLater(Call* call, absl::Duration pause);
  void Failed(Call* call, const absl::Status& status);
  void Succeeded(Call* call);
  // Gives every push its result, the replies or the error, and ends the call.
  void Finish(Call* call, absl::StatusOr<std::vector<PushReply>> replies);

  const absl::Duration patience_;
  const uint64_t seed_;
  std::atomic<uint64_t> retries_{0};
  Mutex mutex_;
  CondVar ended_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<Call*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // WORKER_CLUSTER_EXCHANGE_CALLS_H_
