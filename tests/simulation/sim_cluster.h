// The servers as one simulated worker sees them: what worker/cluster does over gRPC, over the simulated network, by the
// product's Retry.

#ifndef TESTS_SIMULATION_SIM_CLUSTER_H_
#define TESTS_SIMULATION_SIM_CLUSTER_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "common/clock/clock.h"
#include "common/layout/shard_map.h"
#include "common/retry/retry.h"
#include "tests/simulation/network.h"
#include "tests/simulation/runtime/kernel.h"
#include "worker/exchange/cluster.h"

namespace cddp::simulation {

class World;

// Sleeps end when the process dies.
class ProcessClock final : public Clock {
 public:
  absl::Duration Now() override { return Kernel::Get().Now(); }
  bool Sleep(absl::Duration pause) override { return Kernel::Get().SleepAlive(pause); }
};

class SimCluster final : public Cluster {
 public:
  SimCluster(World* world, Process* process, uint32_t rank, uint64_t incarnation);
  ~SimCluster() override;

  // As JoinServers (worker/cluster/join.h); then heartbeats begin.
  absl::Status Join();

  uint32_t worker_count() const override;
  const std::string& server_settings() const override { return settings_; }
  bool is_sync() const override;
  uint64_t version() const override;
  uint32_t server_of(uint32_t bucket) const override { return map_.shard_of(bucket); }
  void Exchange(std::vector<Push> pushes, Answered done) override;
  void CancelExchanges(const absl::Status& why) override;
  absl::Status ReadSnapshot(absl::Span<const uint64_t> held, const TakeBucket& take) override;
  absl::Status TakePart() override;
  void Leave(bool finished) override;
  void NoteProgress(uint64_t step, double loss) override { step_ = step; }
  uint64_t retries() const override { return 0; }

  // Sum of all updates that were answered and not refused, from step 1 on.
  const std::vector<double>& accepted() const { return accepted_; }
  void set_accepted(const std::vector<double>& accepted) { accepted_ = accepted; }

 private:
  struct Server {
    uint64_t view = 0;
    uint64_t version = 0;  // when this worker joined
    absl::Duration heard;  // the last heartbeat
  };
  struct ExchangeCall;
  struct Shared;

  absl::Status JoinServer(uint32_t shard);
  absl::Status CheckThatNoneBeginsAnew();
  bool OneBeginsAnew() const;
  absl::Status Try(uint32_t shard, const RetryOptions& options, const Network::Serve& serve);
  void NoteView(uint32_t shard, uint64_t view);
  void SendHeartbeats();
  static void Send(const std::shared_ptr<ExchangeCall>& call);
  static void Ended(const std::shared_ptr<ExchangeCall>& call, const absl::Status& status);
  void Finish(const std::shared_ptr<ExchangeCall>& call, const absl::StatusOr<std::vector<PushReply>>& replies);
  // Some time after a call of the present process has failed for good.
  void CheckThatItEnds(const absl::Status& error);
  void NoteAccepted(const Push& push, const PushReply& reply);

  World& world_;
  Process* const process_;
  const uint32_t rank_;
  const uint64_t incarnation_;
  const ShardMap map_;
  std::string settings_;
  std::vector<Server> servers_;
  uint64_t step_ = 0;
  absl::Status cancelled_;  // with what exchanges end; OK: not yet
  std::list<std::shared_ptr<ExchangeCall>> calls_;
  std::vector<double> accepted_;
  const std::shared_ptr<SimCluster*> self_;  // null inside once this is destroyed
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_SIM_CLUSTER_H_
