// The machine of one simulated server: a disk, and on it, one after the other, processes that hold the product's Shard.
// It does what the product's Server and ParameterService do, without gRPC and the door.

#ifndef TESTS_SIMULATION_SERVER_HOST_H_
#define TESTS_SIMULATION_SERVER_HOST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/transport/exchange_message.h"
#include "server/server_metrics.h"
#include "server/shard.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/runtime/kernel.h"

namespace cddp::simulation {

class World;

class ServerHost {
 public:
  ServerHost(World* world, uint32_t shard, const ShardOptions& options, uint64_t seed);

  uint32_t shard() const { return shard_; }
  Disk& disk() { return disk_; }

  // From the simulation itself. Start: nothing if a process is alive.
  void Start();
  void Kill(bool lose_power);
  void StopGently();  // SIGTERM
  void Freeze(absl::Duration until);

  bool running() const { return run_ != nullptr && !run_->process.dead; }
  bool serving() const { return running() && run_->serving; }
  uint64_t starts() const { return starts_; }
  Process* process() { return &run_->process; }
  // Of the last start: why it failed, or the journal's error.
  absl::Status failure() const;
  // Have all processes freed what they held?
  bool quiet() const { return ending_ == 0; }

  // Runs a call in a fiber of the present process, which must be serving.
  void Take(std::function<void(ServerHost&)> serve);

  // What a call does there. Of the present process, in a fiber of it.
  struct JoinAnswer {
    uint64_t view = 0;
    uint64_t version = 0;
  };
  absl::StatusOr<JoinAnswer> Join(uint32_t rank, uint64_t incarnation);
  // Of a stranger.
  absl::Status JoinAs(uint32_t rank, uint64_t incarnation, uint32_t worker_count, const ParameterLayout& layout);
  absl::StatusOr<uint64_t> Heartbeat(uint32_t rank, uint64_t incarnation, uint64_t step);  // the view
  absl::Status Leave(uint32_t rank, uint64_t incarnation, bool finished);
  absl::Status LetCatchUp(uint32_t rank, uint64_t incarnation) { return run_->shard->LetCatchUp(rank, incarnation); }
  // By a worker that joins; `held`: the version that it has, 0: none.
  absl::StatusOr<PublishedWeights> ReadToJoin(uint32_t rank, uint64_t incarnation, uint32_t bucket, uint64_t held);
  absl::StatusOr<PublishedWeights> Read(uint32_t bucket, uint64_t held = 0);
  // As it is, for a check.
  absl::StatusOr<PublishedWeights> Published(uint32_t bucket) {
    if (!serving()) return absl::UnavailableError("does not serve");
    return run_->shard->Read(bucket);
  }
  using Exchanged = std::function<void(absl::StatusOr<std::vector<PushReply>> replies)>;
  void Exchange(const PushRequest& request, Exchanged done);

 private:
  struct Run {
    Run(const std::string& name, const ShardOptions& options)
        : process(name), metrics(options.shard, options.worker_count) {}
    Process process;
    std::unique_ptr<FileLayer> files;
    ServerMetrics metrics;
    std::unique_ptr<Shard> shard;
    bool serving = false;
    bool stopping = false;  // SIGTERM
    absl::Status failure;
    int calls = 0;  // under way
    WaitQueue changed;
  };
  struct Call;

  uint64_t HolderOf(uint32_t rank);  // incarnation; 0: none
  void Main(const std::shared_ptr<Run>& run);
  void Serve(const std::shared_ptr<Run>& run);
  void CheckRecovered(Run& run);

  World& world_;
  const uint32_t shard_;
  const ShardOptions options_;
  Disk disk_;
  std::shared_ptr<Run> run_;  // the last one
  uint64_t starts_ = 0;
  int ending_ = 0;  // processes whose main function has not returned
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_SERVER_HOST_H_
