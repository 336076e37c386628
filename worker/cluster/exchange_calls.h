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

  // Cancels all calls and waits until every callback has returned.
  ~ExchangeCalls();

  // Ends the calls under way, and every later one, with `why`; see Cluster::CancelExchanges. The first call counts.
  void Cancel(const absl::Status& why);

  // Makes one call; see Cluster::Exchange. `server` must outlive it. request.pushes must not be empty.
  void Start(ServerConnection* server, const PushRequest& request, Cluster::Answered done);

  // The number of retries.
  uint64_t retries() const { return retries_.load(std::memory_order_relaxed); }

 private:
  struct Call;

  void Send(Call* call);
  // Sends after a pause; returns false and does nothing once all calls are cancelled.
  bool SendLater(Call* call, absl::Duration pause);
  absl::Status cancelled();
  void Failed(Call* call, const absl::Status& status);
  void Succeeded(Call* call);
  // Gives every push its result, the replies or the error, and ends the call.
  void Finish(Call* call, absl::StatusOr<std::vector<PushReply>> replies);

  const absl::Duration patience_;
  const uint64_t seed_;
  std::atomic<uint64_t> retries_{0};
  Mutex mutex_;
  CondVar ended_;
  absl::Status cancelled_ ABSL_GUARDED_BY(mutex_);  // with what; OK: not yet
  absl::flat_hash_set<Call*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // WORKER_CLUSTER_EXCHANGE_CALLS_H_
