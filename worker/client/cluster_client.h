// A worker's connection to all servers of a cluster.

#ifndef WORKER_CLIENT_CLUSTER_CLIENT_H_
#define WORKER_CLIENT_CLUSTER_CLIENT_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/clock/end_signal.h"
#include "common/layout/parameter_layout.h"
#include "common/layout/shard_map.h"
#include "worker/client/server_connection.h"

namespace cddp {

class ClientSecurity;

struct ClusterClientOptions {
  std::shared_ptr<const ClientSecurity> security;  // null: plaintext, no token
  std::vector<std::string> addresses;              // of the servers, in shard order
  uint32_t rank = 0;
  uint32_t worker_count = 1;
  uint64_t incarnation = 0;  // 0: the present time
  std::string agreement;     // what all workers must have alike (common/agreement); a server refuses anything else
  // How long a server may be out of reach, at the start or in between, before the worker gives up.
  absl::Duration server_timeout = absl::Seconds(60);
};

// For ClusterClientOptions::incarnation of a process that starts now.
uint64_t PresentIncarnation();

struct PushedUpdate {
  uint32_t bucket = 0;
  uint64_t step = 0;
  uint64_t base_version = 0;
  std::string update;  // empty: zero
  bool non_finite = false;
  std::optional<uint32_t> replica_crc32c = std::nullopt;
};

struct PulledUpdate {
  uint64_t version = 0;
  std::vector<std::string> updates;  // to be added one after the other
  bool replaces = false;             // `updates` is one dense update that holds the weights themselves
  bool refused = false;
  std::string pushed;  // the bytes of the push, handed back: a refused update returns to the residual
};

// Thread-safe.
class ClusterClient {
 public:
  // Joins every server, trying again with backoff while one is out of reach. Unavailable, naming the address, after
  // server_timeout; the server's own error, naming it, if it refuses; InvalidArgument if the servers disagree.
  static absl::StatusOr<std::unique_ptr<ClusterClient>> Join(const ClusterClientOptions& options,
                                                             const ParameterLayout& layout);
  // Cancels calls under way: their callbacks run before this returns.
  ~ClusterClient();

  // Pushes updates of buckets of one server in one call: at least one and at most kMostPushes, buckets descending.
  // `done` is called once for each, in that order, from a gRPC thread, perhaps before this returns; it must not block.
  // Connection losses and busy servers are retried (a server counts a retry once) until server_timeout; other errors
  // end the call.
  using PushDone = std::function<void(uint32_t bucket, absl::StatusOr<PulledUpdate> answer)>;
  void Exchange(std::vector<PushedUpdate> pushes, PushDone done);

  // Index of the server that owns `bucket`.
  uint32_t server_of(uint32_t bucket) const { return map_.shard_of(bucket); }

  // Tells every server that this worker is done; one that is out of reach is tried again for a while, since servers may
  // wait for this to end themselves. Errors are logged only: the work is done either way.
  void Leave(bool finished);

  // What the next heartbeats tell.
  void NoteProgress(uint64_t step, double loss) {
    step_.store(step, std::memory_order_relaxed);
    loss_.store(loss, std::memory_order_relaxed);
  }

  // Exchanges that were sent again.
  uint64_t retries() const { return retries_.load(std::memory_order_relaxed); }

  // Smallest version of any bucket at the time of Join; 0 if the weights were not initialised.
  uint64_t version() const;
  uint32_t worker_count() const { return options_.worker_count; }

  // Does every step wait for a round (sync), so that a bucket's version is its step?
  bool is_sync() const { return is_sync_; }

  // Do all workers contribute to every round (sync without a quorum)? Then all buckets are at one version between
  // steps.
  bool all_contribute() const { return is_sync_ && quorum_ == 0; }

  // Reads the published weights of all buckets: `take` is called for each with its version and its elements, one after
  // the other, until it returns an error; for all buckets of a server anew if that went out of reach. DataLoss if a
  // checksum is wrong; otherwise the server's error, naming it.
  using TakeBucket = std::function<absl::Status(uint32_t bucket, uint64_t version, absl::Span<const float> weights)>;
  absl::Status ReadSnapshot(const TakeBucket& take);

 private:
  struct ExchangeCall;

  ClusterClient(const ClusterClientOptions& options, const ShardMap& map);
  absl::Status JoinServer(uint32_t shard, const ParameterLayout& layout);
  absl::Status CheckThatNoneBeginsAnew(const ParameterLayout& layout);
  // *taken is the error of `take` or of a checksum.
  static grpc::Status ReadServersSnapshot(ServerConnection& server, const TakeBucket& take, absl::Status* taken);
  void SendHeartbeats();
  void Send(ExchangeCall* call);
  void Finish(ExchangeCall* call, const absl::Status& status);

  const ClusterClientOptions options_;
  const ShardMap map_;
  std::vector<std::unique_ptr<ServerConnection>> servers_;
  std::vector<uint64_t> versions_;  // of the servers, when they were joined
  std::string agreement_;           // of the first server: all servers' is the same
  bool is_sync_ = true;
  uint32_t quorum_ = 0;
  absl::Duration heartbeat_period_ = absl::Seconds(3);
  std::atomic<uint64_t> step_{0};
  std::atomic<double> loss_{0};
  std::atomic<uint64_t> retries_{0};
  EndSignal ending_;
  std::thread heartbeats_;

  std::mutex mutex_;
  std::condition_variable calls_ended_;
  absl::flat_hash_set<ExchangeCall*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // WORKER_CLIENT_CLUSTER_CLIENT_H_
