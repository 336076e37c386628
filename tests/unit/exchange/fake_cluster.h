// Servers without a network: synchronous rounds of all workers, answered on a thread of their own in random order.

#ifndef TESTS_UNIT_EXCHANGE_FAKE_CLUSTER_H_
#define TESTS_UNIT_EXCHANGE_FAKE_CLUSTER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "common/layout/parameter_layout.h"
#include "common/sync/mutex.h"
#include "worker/exchange/cluster.h"

namespace cddp {

struct FakeServersOptions {
  uint32_t workers = 1;
  uint32_t servers = 2;
  uint64_t seed = 1;    // of the order of answers
  double repeated = 0;  // fraction of answers that come twice
};

// Adds the mean of the contributions to the weights and publishes it dense. Thread-safe.
class FakeServers {
 public:
  FakeServers(const ParameterLayout& layout, const FakeServersOptions& options);
  // Answers that are still to come are dropped.
  ~FakeServers();

  // What a worker joins. The servers must outlive it.
  std::unique_ptr<Cluster> Connect(uint32_t rank);

  // From now on every call ends with `error`, and so do those under way.
  void Fail(const absl::Status& error);
  // Likewise those to one server.
  void FailServer(uint32_t server, const absl::Status& error);

  // From now on no call is answered, unless with an error.
  void Hold();

  // Rounds no longer wait for `rank`.
  void Retire(uint32_t rank);
  // They do again.
  void Await(uint32_t rank);

  std::vector<float> weights() const;
  uint64_t version(uint32_t bucket) const;
  // Pushes in the order in which they came, by rank.
  std::vector<Push> pushes(uint32_t rank) const;

 private:
  friend class FakeCluster;
  struct Waiting {
    uint32_t rank;
    Push push;
    Cluster::Answered done;
  };
  struct Bucket {
    uint64_t version = 0;
    std::vector<float> weights;
    std::map<uint32_t, Waiting> round;  // by rank
  };

  uint32_t server_of(uint32_t bucket) const { return bucket % options_.servers; }
  void Cancel(uint32_t rank, const absl::Status& why);  // all its calls
  void Take(uint32_t rank, std::vector<Push> pushes, const Cluster::Answered& done);
  void CloseIfComplete(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Answer(const Waiting& waiting, const absl::StatusOr<PushReply>& reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Deliver();  // the thread

  const ParameterLayout layout_;
  const FakeServersOptions options_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> active_ ABSL_GUARDED_BY(mutex_);  // by rank
  std::vector<std::vector<Push>> pushes_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> answers_ ABSL_GUARDED_BY(mutex_);  // to be delivered
  std::vector<absl::Status> failed_ ABSL_GUARDED_BY(mutex_);            // by server
  std::vector<absl::Status> cancelled_ ABSL_GUARDED_BY(mutex_);         // by rank
  bool holds_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::mt19937_64 random_;  // the thread's
  std::thread thread_;
};

}  // namespace cddp

#endif  // TESTS_UNIT_EXCHANGE_FAKE_CLUSTER_H_
