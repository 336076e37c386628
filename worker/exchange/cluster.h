// The servers as one worker sees them. The network begins here: everything on this side of the interface runs over a
// fake in tests (tests/unit/exchange/fake_cluster.h) and over gRPC in production (worker/cluster/grpc_cluster.h).

#ifndef WORKER_EXCHANGE_CLUSTER_H_
#define WORKER_EXCHANGE_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/transport/exchange_message.h"

namespace cddp {

// A cluster that this worker has joined. Thread-safe.
class Cluster {
 public:
  virtual ~Cluster() = default;

  virtual uint32_t worker_count() const = 0;

  // The settings of all servers, "--lr=0.05 --optimizer=sgd ..." (common/agreement).
  virtual const std::string& server_settings() const = 0;

  // Whether every step waits for a round (--consistency=sync), so that a bucket's version is its step.
  virtual bool is_sync() const = 0;

  // Smallest version of any bucket when this worker joined; 0 if the weights were not initialised.
  virtual uint64_t version() const = 0;

  // Index of the server that owns `bucket`.
  virtual uint32_t server_of(uint32_t bucket) const = 0;

  // Pushes updates of buckets of one server in one call: 1 to kMostPushes of them, buckets descending. `done` is called
  // exactly once for each, from any thread, perhaps before this returns; it must not block. Failed calls are retried (a
  // server counts a repeated push once) until the cluster's time-out is over; other errors end the call.
  using Answered = std::function<void(uint32_t bucket, absl::StatusOr<PushReply> reply)>;
  virtual void Exchange(std::vector<Push> pushes, Answered done) = 0;

  // From now on every Exchange ends with `why`, soon and without being tried again, and so do those under way. For a
  // worker that ends because one of its calls failed: the others may wait for rounds that need its next steps. The
  // cluster does so itself where a server says that this process takes no part any more.
  virtual void CancelExchanges(const absl::Status& why) = 0;

  // Reads the published weights of every bucket. `take` is called for each, one after the other, until it returns an
  // error; after a lost connection it continues at the same bucket. DataLoss if a checksum is wrong; otherwise the
  // server's error, with its name. `held`: versions of the replica, by bucket, so that only the changes since are
  // read; empty: none. Until TakePart, servers do not wait for a worker that reads before its first step.
  struct PublishedBucket {
    uint32_t bucket = 0;
    uint64_t version = 0;
    absl::Span<const float> weights;   // empty: only `updates` have changed since the held version
    std::vector<SharedBytes> updates;  // deltas, to be added one after the other
  };
  using TakeBucket = std::function<absl::Status(const PublishedBucket& published)>;
  virtual absl::Status ReadSnapshot(absl::Span<const uint64_t> held, const TakeBucket& take) = 0;

  // Says that this worker has the weights: from now on every step waits for it.
  virtual absl::Status TakePart() = 0;

  // Tells every server that this worker is done, or that it gives up. Errors are only logged: it is over either way.
  virtual void Leave(bool finished) = 0;

  // Number and loss of the last step, for the coming heartbeats.
  virtual void NoteProgress(uint64_t step, double loss) = 0;

  // The number of retries.
  virtual uint64_t retries() const = 0;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_CLUSTER_H_
